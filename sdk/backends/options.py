"""Checks of options that several backends take."""

from __future__ import annotations

from sdk.errors import LoadError
from sdk.validation import describe

_MOST_THREADS = 1024
"""More than any machine has processors. onnxruntime starts as many as it is told, which takes it minutes or fails."""


def check_threads(threads: object) -> None:
    """Raise LoadError unless ``threads`` is None or an integer from 1 to 1024."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= _MOST_THREADS:
        raise LoadError(f"threads: found {describe(threads)}, allowed 1 to {_MOST_THREADS}")
