"""The machine of a measurement, without names of hosts or users, and the load from other processes."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from zoo.kernels import runtime
from zoo.utils.errors import BenchError
from zoo.utils.provenance import now, versions

DEVICES = ("cpu", "cuda")


def check_device(device: str) -> None:
    """Raise BenchError unless the kernels can run on ``device``, one of ``DEVICES``."""
    if device == "cuda" and not torch.cuda.is_available():
        raise BenchError("device 'cuda' cannot be used here: torch sees no CUDA device; leave out --device")
    if device == "cuda" and runtime.mode() == "compiled" and not runtime.compiled().cuda_built:
        raise BenchError(
            "device 'cuda' cannot be used here: cellzoo was built without CUDA kernels; reinstall it with nvcc on the "
            "PATH and ZOO_CUDA=ON"
        )


def machine_facts(device: str = "cpu") -> dict[str, Any]:
    """Return processor, threads, memory, system, instruction sets, versions and date, and the GPU if one is used."""
    return {
        **({"gpu": _gpu()} if device == "cuda" else {}),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_sets": runtime.compiled().usable_isas(),
        "instruction_set": runtime.compiled().current_isa(),
        "versions": versions(),
        "date": now(),
    }


def facts_line(facts: dict[str, Any]) -> str:
    """Return the facts as one line of text."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    gpu = f"{facts['gpu']}; " if "gpu" in facts else ""
    return (
        f"{gpu}{facts['processor']}, {facts['threads']} threads on {facts['processors']} processors, "
        f"{facts['instruction_set']}; {versions}; {facts['date'][:10]}"
    )


class Watch:
    """Measures how much other processes compute while a benchmark runs."""

    def __init__(self) -> None:
        self._since = (time.perf_counter(), _busy_seconds(), sum(os.times()[:4]))

    def others(self) -> float | None:
        """Return the processors used by others, on average since the start; None if the system does not report it."""
        started, busy, own = self._since
        now = _busy_seconds()
        if now is None or busy is None:
            return None
        others = now - busy - (sum(os.times()[:4]) - own)
        return round(max(0.0, others) / (time.perf_counter() - started), 2)


def busy_warning(machine: dict[str, Any]) -> str | None:
    """Return a warning if other processes were busy during the measurement, else None."""
    others = machine["other_processes"]
    if others is None or others < 0.1:
        return None
    return f"other processes used {others} processors during the measurement, so the rates are lower than possible"


def _busy_seconds() -> float | None:
    """Return the processor seconds of the whole machine that were not idle, including those stolen by a hypervisor."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, *rest = map(int, stat.read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _gpu() -> str:
    facts = torch.cuda.get_device_properties(torch.cuda.current_device())
    return (
        f"{facts.name}, {facts.multi_processor_count} multiprocessors, {facts.total_memory / 1e9:.0f} GB, "
        f"{facts.L2_cache_size / 1e6:.0f} MB of L2, CUDA {torch.version.cuda}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
