"""The compiled module ``sdk._kernels``, which predicts without torch and with which ``zoo.kernels`` trains."""

from __future__ import annotations

import functools
import importlib
import os
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from sdk.build_record import REINSTALL, why_no_kernels
from sdk.errors import KernelsError, MissingKernelsError, SettingError

MODULE = "sdk._kernels"
ACTIVATIONS = {"silu": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
"""The numbers of gridnet's activations in the compiled module."""
FUNCTIONS = {"tanh": 0, "sigmoid": 1, "relu": 2}
"""The numbers of the functions of a snapshots network in the compiled module."""
MODES = ("compiled", "reference")
"""The values of ZOO_KERNELS."""
_SOURCES = Path(__file__).parents[1] / "csrc" / "python"
"""The sources of the bindings, in a checkout."""
_OR_REFERENCE = "; or set ZOO_KERNELS=reference to run the slow reference"


def mode() -> str:
    """Return ``compiled`` (the default) or ``reference``, from the environment variable ZOO_KERNELS.

    Raises SettingError for another value.
    """
    value = os.environ.get("ZOO_KERNELS", "compiled")
    if value not in MODES:
        raise SettingError(f"ZOO_KERNELS={value!r} is not a kernel mode; allowed: {', '.join(MODES)}")
    return value


@functools.cache
def compiled() -> ModuleType:
    """Load the compiled module; the environment variable ZOO_ISA chooses its instruction set.

    Raises MissingKernelsError if the module was not built, KernelsError if it cannot be used, and SettingError for an
    unusable ZOO_ISA.
    """
    try:
        module = importlib.import_module(MODULE)
    except Exception as error:  # a damaged module may raise anything
        raise _unusable(error) from error
    if _SOURCES.is_dir() and getattr(module, "bindings", None) != _digest(_SOURCES):
        raise KernelsError(
            f"the compiled kernels are older or newer than the sources in {_SOURCES.parent}; compile them again: "
            f"`pip install --editable {_SOURCES.parents[1]}`{_OR_REFERENCE}"
        )
    isa = os.environ.get("ZOO_ISA")
    if isa:
        try:
            module.set_isa(isa)
        except ValueError as error:
            raise SettingError(f"ZOO_ISA: {error}") from None
    return module


def _unusable(error: Exception) -> KernelsError:
    if isinstance(error, ModuleNotFoundError) and error.name == MODULE:
        missing = why_no_kernels()
        return MissingKernelsError(
            f"this install has no compiled kernels ({missing.reason}); {missing.remedy}{_OR_REFERENCE}"
        )
    return KernelsError(
        f"the compiled kernels cannot be loaded ({' '.join(str(error).split())}); reinstall cellzoo: "
        f"`{REINSTALL}`{_OR_REFERENCE}"
    )


def _digest(folder: Path) -> str:
    """Return the digest of the bindings' sources as CMakeLists.txt computes it."""
    files = sorted([*folder.glob("*.cpp"), *folder.glob("*.h")])
    return sha256("".join(sha256(file.read_bytes()).hexdigest() for file in files).encode()).hexdigest()
