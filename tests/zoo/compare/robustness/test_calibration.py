"""Calibration of made-up confidences."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.compare.robustness.calibration import expected_error, fit_temperature


def _sure_of(confidence: float, right: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    logits = np.tile(np.array([np.log(confidence / (1 - confidence)), 0], np.float32), (total, 1))
    return logits, (np.arange(total) >= right).astype(np.int64)


def test_the_error_is_the_distance_of_confidence_and_accuracy() -> None:
    assert expected_error(*_sure_of(0.9, 60, 100)) == pytest.approx(0.3, abs=1e-6)
    assert expected_error(*_sure_of(0.9, 90, 100)) == pytest.approx(0, abs=1e-6)


def test_the_temperature_that_fits_calibrates() -> None:
    logits, labels = _sure_of(0.99, 80, 100)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(np.log(99) / np.log(4), rel=1e-3)
    assert expected_error(logits, labels, temperature) < 1e-3
