"""Turns the signals that ask a process to end into an exception, so that it ends in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")
"""SIGINT raises KeyboardInterrupt without our help. Windows has no SIGHUP."""


class StopSignal(KeyboardInterrupt):  # what handles Ctrl-C handles this, libraries included
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return 128 plus the signal's number, as shells have it: 130 for SIGINT (Ctrl-C), 143 for SIGTERM."""
    return 128 + (stop.number if isinstance(stop, StopSignal) else signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Raise StopSignal on SIGTERM and SIGHUP, in the main thread; a signal that is ignored or handled stays so."""
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    raise StopSignal(number)
