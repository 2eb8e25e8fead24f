"""The choice of a kernel's body: the compiled module, or the reference if ZOO_KERNELS=reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sdk import kernels
from sdk.kernels import compiled as compiled

_forced: str | None = None


def mode() -> str:
    """Return the mode of :func:`sdk.kernels.mode`, or ``reference`` inside :func:`using_reference`."""
    return kernels.mode() if _forced is None else _forced


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
