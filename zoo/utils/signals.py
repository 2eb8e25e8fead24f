"""Turns the signals that ask a process to end into an exception, so that it ends in order.

Python can lose such an exception: it is dropped in a finalizer, and an import of compiled code turns it
into an ImportError. The signal is therefore remembered, and :func:`stop_behind` finds it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Windows has no SIGHUP."""
_USUAL = (signal.SIG_DFL, signal.default_int_handler)
_received: list[int] = []
"""The signals since :func:`stop_signals` began."""


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
    """Raise StopSignal on SIGINT, SIGTERM and SIGHUP, in the main thread.

    A signal that is ignored, or that other code handles, stays so.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    show = sys.unraisablehook

    def show_until_a_signal(lost: sys.UnraisableHookArgs) -> None:
        if not _received:  # later ones are the lost StopSignal, and what it broke off, such as a library's fork hooks
            show(lost)

    ours = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in _USUAL}
    _received.clear()
    sys.unraisablehook = show_until_a_signal
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, usual in ours.items():
            signal.signal(number, usual)
        sys.unraisablehook = show
        _received.clear()


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the stop that ended the work: ``error`` itself, or the signal that was received before it; else None."""
    if isinstance(error, KeyboardInterrupt):
        return error
    return StopSignal(_received[0]) if _received else None


def check_stopped() -> None:
    """Raise StopSignal if a signal was received whose exception was lost."""
    if _received:
        raise StopSignal(_received[0])


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise StopSignal(number)
