"""Timing calls against each other on a machine that is not always equally fast."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from zoo.utils.stats import Spread

_SHORT = 0.02  # seconds: shorter calls are repeated within a sample
_REST = 0.05  # seconds
_LEAST = 3  # samples of a contender that is out of budget


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int, budget: float) -> dict[str, Spread]:
    """Seconds per call of each, sampled in turn (A B C A B C ...), so that a slow minute falls on all alike.

    Every call runs once untimed first, a short one after a rest before every sample, too, and it is repeated within the
    sample. One that has used up ``budget`` seconds is left out of further rounds, after three samples at the least.
    """
    first = {name: max(_sample(call, 1), 1e-7) for name, call in calls.items()}
    repeats = {name: max(1, math.ceil(_SHORT / seconds)) for name, seconds in first.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            if turn < _LEAST or sum(samples[name]) * repeats[name] < budget:
                settle(call, first[name])
                samples[name].append(_sample(call, repeats[name]))
    return {name: Spread.of(values) for name, values in samples.items()}


def settle(call: Callable[[], object], seconds: float) -> None:
    """Rest, and make a call that took so many ``seconds`` once untimed, unless that is long enough not to matter.

    The threads of OpenMP and of onnxruntime spin on for tens of milliseconds after their work, in wait for more:
    without a rest whoever comes next shares the processors with those of the contender before.
    """
    if seconds < 4 * _REST:
        time.sleep(_REST)
        call()


def _sample(call: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats
