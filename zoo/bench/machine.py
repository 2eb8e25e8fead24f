"""What a measurement was made on. No names of hosts or users."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from zoo.kernels import runtime as backend
from zoo.utils.provenance import now, versions


def machine_facts() -> dict[str, Any]:
    """Processor, threads, instruction sets and versions."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_sets": backend.compiled().usable_isas(),
        "instruction_set": backend.compiled().current_isa(),
        "versions": versions(),
        "date": now(),
    }


def facts_line(facts: dict[str, Any]) -> str:
    """The facts in one line, for people."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['threads']} threads on {facts['processors']} processors, "
        f"{facts['instruction_set']}; {versions}; {facts['date'][:10]}"
    )


class Watch:
    """How much other processes compute while a benchmark runs."""

    def __init__(self) -> None:
        self._since = (time.perf_counter(), _busy_seconds(), sum(os.times()[:4]))

    def others(self) -> float | None:
        """Processors in use by others, on average since the start; None where the system does not say."""
        started, busy, own = self._since
        now = _busy_seconds()
        if now is None or busy is None:
            return None
        others = now - busy - (sum(os.times()[:4]) - own)
        return round(max(0.0, others) / (time.perf_counter() - started), 2)


def busy_warning(machine: dict[str, Any]) -> str | None:
    """A line to show when other work was running meanwhile."""
    others = machine["other_processes"]
    if others is None or others < 0.1:
        return None
    return f"other processes used {others} processors meanwhile, so the figures are lower than they could be"


def _busy_seconds() -> float | None:
    """Processor seconds of the whole machine that were not idle, what a hypervisor took away included."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, *rest = map(int, stat.read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
