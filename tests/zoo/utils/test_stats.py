from __future__ import annotations

import pytest

from zoo.utils.stats import Spread, wilson_interval


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_the_interval_is_the_wilson_interval(correct: int, total: int, low: float, high: float) -> None:
    """Published examples: Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_a_spread_holds_median_and_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
