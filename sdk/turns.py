"""Turns of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets the threads of a process take turns. In a forked process nobody has the turn, whoever had it before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn, and keep it until the block ends."""
        with self._lock:  # this one is released, even where the block forks and a child has another
            yield

    def _renew(self) -> None:
        self._lock = threading.Lock()
