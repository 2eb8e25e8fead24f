"""Summaries of samples, and confidence intervals of proportions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
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


def middle_half(samples: Sequence[float]) -> list[int]:
    """Return the places of the samples without the smallest and the largest quarter, rounded down, in order."""
    places = sorted(range(len(samples)), key=samples.__getitem__)
    cut = len(samples) // 4
    return sorted(places[cut : len(samples) - cut])


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (low, high) of the proportion ``correct / total`` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    centre = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return (centre - half) / scale, (centre + half) / scale
