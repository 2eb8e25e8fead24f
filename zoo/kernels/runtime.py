"""The choice of a kernel's body: the compiled module, or the reference if ZOO_KERNELS=reference."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from sdk.build_record import REINSTALL, why_no_kernels
from zoo.utils.errors import KernelsError, SettingError

MODULE = "sdk._kernels"
MODES = ("compiled", "reference")
_forced: str | None = None


def mode() -> str:
    """Return ``compiled`` (the default) or ``reference``, from the environment variable ZOO_KERNELS."""
    if _forced is not None:
        return _forced
    value = os.environ.get("ZOO_KERNELS", "compiled")
    if value not in MODES:
        raise SettingError(f"ZOO_KERNELS={value!r} is not a kernel mode; allowed: {', '.join(MODES)}")
    return value


@contextmanager
def using_reference() -> Iterator[None]:
    """Run the reference of every kernel, in all threads, as an export to standard operators needs."""
    global _forced
    before, _forced = _forced, "reference"
    try:
        yield
    finally:
        _forced = before


@functools.cache
def compiled() -> ModuleType:
    """Load the compiled module ``sdk._kernels``; the environment variable ZOO_ISA chooses its instruction set.

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


def keep_freed_memory() -> None:
    """Make the C library keep freed memory, so that a training process does not fault it in at every step (glibc only).

    Saves a quarter of the time of a training step of gridnet-mnist.
    """
    if mode() == "compiled":
        compiled().keep_freed_memory()
