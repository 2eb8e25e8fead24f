"""Checks of options that several backends take."""

from __future__ import annotations

from sdk.errors import LoadError
from sdk.validation import describe


def check_threads(threads: object) -> None:
    """Raise LoadError unless ``threads`` is None or a positive integer."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise LoadError(f"threads must be a positive integer, found {describe(threads)}")
