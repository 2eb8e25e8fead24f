"""Calibration: how far confidence is from accuracy, before and after temperature scaling (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15


def expected_error(logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Return the expected calibration error in [0, 1] of logits ``[N, classes]``.

    It is the mean distance of accuracy and confidence in ``BINS`` bins of equal width, weighted by their samples.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=-1)
    confidence, hits = probabilities.max(-1), probabilities.argmax(-1) == labels
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(number, minlength=BINS)
    gaps = np.bincount(number, hits - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / counts.sum())


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature in [0.05, 20] with the smallest cross-entropy; fit it on validation samples."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=-1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))
