"""McNemar's exact test, against its definition."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from tests.support.compare import record
from zoo.compare.pairs import against_best, all_pairs, compare_pair


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (9, 2), (5, 5), (30, 12)])
def test_p_is_the_sum_over_splits_at_least_as_uneven(b: int, c: int) -> None:
    first = record("first", [True] * b + [False] * c + [True] * 7)
    second = record("second", [False] * b + [True] * c + [True] * 7)
    pair = compare_pair(first, second)
    assert pair is not None
    assert (pair.only_first, pair.only_second) == (b, c)
    n = b + c
    expected = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(b - c)) / 2**n
    assert pair.p == pytest.approx(expected)


def test_models_on_other_samples_are_not_paired() -> None:
    records = [record("a", [True]), record("b", [True]), record("c", [True], test_hash="other")]
    assert [(pair.first, pair.second) for pair in all_pairs(records)] == [("a", "b")]
    assert against_best(records) == {"a": None, "b": 1.0, "c": None}


def test_the_best_is_the_most_accurate() -> None:
    records = [record("a", np.arange(20) < 10), record("b", np.arange(20) < 19)]
    found = against_best(records)
    assert found["b"] is None
    assert found["a"] == pytest.approx(2 / 2**9)
