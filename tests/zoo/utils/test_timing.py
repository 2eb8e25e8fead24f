from __future__ import annotations

import time
from functools import partial

import pytest
import torch

from zoo.utils.timing import interleave, settle


def test_contenders_are_timed_in_turn_after_an_untimed_call() -> None:
    order: list[str] = []
    busy = torch.rand(400, 400)

    def call(name: str) -> None:
        order.append(name)
        for _ in range(5):
            busy @ busy

    spreads = interleave({name: partial(call, name) for name in "AB"}, rounds=4, budget=100)
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns == list("ABABABABAB")
    assert {spread.samples for spread in spreads.values()} == {4}
    assert all(0 < spread.low <= spread.median <= spread.high for spread in spreads.values())


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 1), (0.1, 1), (0.5, 0)])
def test_a_short_call_runs_once_untimed_after_a_rest(seconds: float, calls: int) -> None:
    made: list[float] = []
    started = time.perf_counter()
    settle(lambda: made.append(time.perf_counter() - started), seconds)
    assert len(made) == calls
    assert all(after >= 0.05 for after in made)


def test_a_contender_over_budget_has_three_samples() -> None:
    spreads = interleave({"slow": lambda: torch.rand(100_000).sort()}, rounds=9, budget=0)
    assert spreads["slow"].samples == 3
