"""The compiled module ``sdk._kernels``, which predicts without torch and with which ``zoo.kernels`` trains."""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType

from sdk.build_record import REINSTALL, why_no_kernels
from sdk.errors import KernelsError, SettingError

MODULE = "sdk._kernels"
ACTIVATIONS = {"silu": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
"""The numbers of gridnet's activations in the compiled module."""
FUNCTIONS = {"tanh": 0, "sigmoid": 1, "relu": 2}
"""The numbers of the functions of a snapshots network in the compiled module."""


@functools.cache
def compiled() -> ModuleType:
    """Load the compiled module; the environment variable ZOO_ISA chooses its instruction set.

    Raises KernelsError if the module was not built, SettingError for an unusable ZOO_ISA.
    """
    try:
        module = importlib.import_module(MODULE)
    except ImportError as error:
        raise KernelsError(f"{_problem(error)}; or set ZOO_KERNELS=reference to run the slow reference") from error
    isa = os.environ.get("ZOO_ISA")
    if isa:
        try:
            module.set_isa(isa)
        except ValueError as error:
            raise SettingError(f"ZOO_ISA: {error}") from None
    return module


def _problem(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == MODULE:
        missing = why_no_kernels()
        return f"this install has no compiled kernels ({missing.reason}); {missing.remedy}"
    return f"the compiled kernels cannot be loaded ({error}); reinstall cellzoo: `{REINSTALL}`"
