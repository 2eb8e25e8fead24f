"""The choice of a kernel's body: the compiled module, or the reference if ZOO_KERNELS=reference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sdk.kernels import compiled as compiled
from zoo.utils.errors import SettingError

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


def keep_freed_memory() -> None:
    """Make the C library keep freed memory, so that a training process does not fault it in at every step (glibc only).

    Saves a quarter of the time of a training step of gridnet-mnist.
    """
    if mode() == "compiled":
        compiled().keep_freed_memory()
