"""Counts paths by reason and names the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

FAULTS_FIX = "repair or remove them, or set data.on_error: skip to go on without them"
FAULTS_NAMED = 5
"""Paths that an error names for each kind of fault."""


@dataclass
class Tally:
    """Paths by the reason why they were noted."""

    paths: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: str) -> None:
        """Record a path."""
        self.paths.setdefault(reason, []).append(path)

    def summary(self, shown: int = 3) -> str:
        """Return the number of paths and the first of them for each reason, in one line."""
        return "; ".join(f"{reason}: {len(paths)} ({first_of(paths, shown)})" for reason, paths in self.paths.items())


def first_of(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names, and dots for more."""
    return ", ".join(names[:shown]) + (", ..." if len(names) > shown else "")
