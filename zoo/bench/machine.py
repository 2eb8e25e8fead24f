"""What a measurement was made on. No names of hosts or users."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sdk
from zoo.kernels import backend


def machine_facts() -> dict[str, Any]:
    """Processor, threads, instruction sets, versions, and how busy the machine was (None: not known here)."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "instruction_sets": backend.compiled().usable_isas(),
        "instruction_set": backend.compiled().current_isa(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {
            "cellzoo": sdk.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def facts_line(facts: dict[str, Any]) -> str:
    """The facts in one line, for people."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['threads']} threads on {facts['processors']} processors, "
        f"{facts['instruction_set']}; {versions}; {facts['date'][:10]}"
    )


def busy_warning(facts: dict[str, Any]) -> str | None:
    """A line to show when other work was running as the benchmark started."""
    if facts["load_average"] < 0.5:
        return None
    return f"the machine was busy (load average {facts['load_average']}): the figures are lower than they could be"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
