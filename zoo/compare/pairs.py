"""Paired tests of two models on the same samples: McNemar's exact test (McNemar 1947)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.stats import binomtest

from zoo.compare.record import Record


@dataclass(frozen=True)
class Pair:
    """Two models on the same test samples."""

    first: str
    second: str
    only_first: int
    """Samples that the first alone answers correctly."""
    only_second: int
    p: float
    """Probability of a split at least as uneven as this, if each disagreement went either way with 1/2."""


def compare_pair(first: Record, second: Record) -> Pair | None:
    """Test two models; None if they did not see the same samples."""
    if first.test_hash != second.test_hash:
        return None
    ours, theirs = first.hits(), second.hits()
    only_first, only_second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    count = only_first + only_second
    p = float(binomtest(only_first, count, 0.5).pvalue) if count else 1.0
    return Pair(first.name, second.name, only_first, only_second, p)


def all_pairs(records: Sequence[Record]) -> list[Pair]:
    """Test every two models that saw the same samples."""
    return [pair for one, other in combinations(records, 2) if (pair := compare_pair(one, other)) is not None]


def against_best(records: Sequence[Record]) -> dict[str, float | None]:
    """Return each model's p against the most accurate of the records; None for that one, and for other samples."""
    best = max(records, key=lambda record: record.accuracy)
    pairs = {record.name: compare_pair(best, record) for record in records if record is not best}
    return {best.name: None, **{name: pair.p if pair else None for name, pair in pairs.items()}}
