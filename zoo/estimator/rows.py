"""The rows of a table in float32, in which the networks compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.errors import InputError

_LOST = 0.01
"""Largest rounding error of a feature, in its standard deviations."""
_NOISE = 1e-12
"""Deviations up to this share of the largest value are the rounding errors of a constant in float64."""


def single_precision(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32; raises InputError for those beyond it."""
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise InputError("X: found a number that is too large for float32, in which the networks compute; scale it")
    return rounded


def check_resolution(rows: NDArray[Any]) -> None:
    """Raise InputError for a feature of rows ``[N, features]`` whose numbers differ by less than float32 can tell.

    A time in seconds since 1970 is an example.
    """
    rounded, exact = single_precision(rows), rows.astype(np.float64)
    largest, spread, lost = np.abs(exact).max(0), exact.std(0), np.abs(exact - rounded).max(0)
    bad = np.flatnonzero((lost > _LOST * spread) & (spread > _NOISE * largest))
    if len(bad):
        raise InputError(
            f"X: feature {bad[0]}: found numbers up to {largest[bad[0]]:g} that differ by {spread[bad[0]]:.3g}, and "
            f"float32 rounds them by {lost[bad[0]]:.3g}; subtract a constant, or put a StandardScaler in front"
        )
