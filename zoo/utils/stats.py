"""Summaries of samples, and confidence intervals of proportions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist


@dataclass(frozen=True)
class Spread:
    """The median, the smallest and the largest of some samples."""

    median: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Summarise one or more samples."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples))


def middle_half(samples: Sequence[float], block: int = 1) -> list[int]:
    """Return the places of the samples that are neither the largest nor the smallest, in order.

    They are cut into blocks of ``block`` consecutive ones, the last with up to twice as many, and the quarter of the
    blocks with the largest means and that with the smallest, both rounded down, are left out.
    """
    count = max(1, len(samples) // block)
    starts = [number * block for number in range(count)] + [len(samples)]
    means = [statistics.fmean(samples[start:stop]) for start, stop in pairwise(starts)]
    cut = count // 4
    kept = sorted(sorted(range(count), key=means.__getitem__)[cut : count - cut])
    return [place for number in kept for place in range(starts[number], starts[number + 1])]


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (low, high) of the proportion ``correct / total`` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    centre = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return (centre - half) / scale, (centre + half) / scale
