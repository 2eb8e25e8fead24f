"""Timing calls against each other on a machine whose speed varies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from zoo.utils.progress import Say, say_nothing
from zoo.utils.stats import Spread

_SHORT = 0.02  # seconds; shorter calls are repeated within a sample
_REST = 0.05  # seconds
_LEAST = 3  # samples of a contender that exceeds its budget


def interleave(
    calls: Mapping[str, Callable[[], object]], rounds: int, budget: float, say: Say = say_nothing
) -> dict[str, Spread]:
    """Time each call and return its seconds per call, sampled in turn (A B C A B C ...).

    A slow minute of the machine therefore affects all contenders alike. Every call first runs once untimed. A short
    call is repeated within a sample, and :func:`settle` precedes the sample. A contender that has spent ``budget``
    seconds takes no part in further rounds, but has at least three samples. ``say`` gets each call's name before its
    first run.
    """
    first = {}
    for name, call in calls.items():
        say(name)
        first[name] = max(_sample(call, 1), 1e-7)
    repeats = {name: max(1, math.ceil(_SHORT / seconds)) for name, seconds in first.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            if turn < _LEAST or sum(samples[name]) * repeats[name] < budget:
                settle(call, first[name])
                samples[name].append(_sample(call, repeats[name]))
    return {name: Spread.of(values) for name, values in samples.items()}


def settle(call: Callable[[], object], seconds: float) -> None:
    """Rest, then run ``call`` once untimed; skip both if the call takes long enough (``seconds``) not to need them.

    The threads of OpenMP and onnxruntime keep spinning for tens of milliseconds after their work. Without a rest, the
    next contender would share the processors with them.
    """
    if seconds < 4 * _REST:
        time.sleep(_REST)
        call()


def _sample(call: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats
