"""Why an install has no compiled kernels, as csrc/build_backend.py recorded it in the metadata of the install."""

from __future__ import annotations

import importlib.metadata
import json
from typing import NamedTuple

FILE = "kernels.json"
REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary cellzoo cellzoo"


class NoKernels(NamedTuple):
    """Why the kernels are missing and how to get them."""

    reason: str
    remedy: str
    broken: bool
    """True if something failed that should have worked."""


def why_no_kernels() -> NoKernels:
    """Return the reason that the build backend recorded, or say that there is no record, as in a plain checkout."""
    record = _record()
    cause, detail = record.get("cause"), record.get("detail", "")
    reinstall = f"reinstall: `{REINSTALL}`, or `pip install .` in a checkout"
    if cause == "no compiler":
        reason = "not compiled: there was no C++ compiler when cellzoo was installed"
        return NoKernels(reason, f"install g++ or clang++, then {reinstall}", broken=False)
    if cause == "left out":
        reason = f"left out when this package was built ({detail})"
        return NoKernels(reason, f"with a C++20 compiler on the PATH, {reinstall}", broken=False)
    if cause == "failed":
        reason = f"their compilation failed when cellzoo was installed: {detail}"
        return NoKernels(reason, f"{reinstall}; with -v, pip shows the whole output", broken=True)
    return NoKernels("not compiled", "run `pip install .` with a C++20 compiler (g++ or clang++)", broken=True)


def _record() -> dict[str, str]:
    try:
        text = importlib.metadata.distribution("cellzoo").read_text(FILE)
        record = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
