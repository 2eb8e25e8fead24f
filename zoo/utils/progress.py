"""Progress of a long call, reported to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Say = Callable[[str], None]
"""Shows one line of progress."""


class Progress(Protocol):
    """Receives the state of a long call."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """Report that ``what`` is running, and ``done`` of ``total`` parts of it; a total of 0 is unknown."""


def no_progress(what: str, done: int = 0, total: int = 0) -> None:
    """Show nothing."""


def say_nothing(line: str) -> None:
    """Show nothing."""
