"""Paths by reason, and the first of them."""

from __future__ import annotations

import pytest

from zoo.data.tally import Tally, first_of


@pytest.mark.parametrize(("names", "shown"), [("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c, ...")])
def test_the_first_three_names_are_shown_and_dots_for_more(names: str, shown: str) -> None:
    assert first_of(names) == shown


def test_a_summary_counts_the_paths_of_each_reason() -> None:
    tally = Tally()
    for reason, path in (("empty", "a"), ("broken", "b"), ("empty", "c")):
        tally.add(reason, path)
    assert tally.summary() == "empty: 2 (a, c); broken: 1 (b)"
    assert tally.summary(1) == "empty: 2 (a, ...); broken: 1 (b)"
