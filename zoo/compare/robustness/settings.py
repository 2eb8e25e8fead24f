"""The settings of the suite, which are the same for all models."""

from __future__ import annotations

SEEDS = (0, 1, 2)
SAMPLES = 1000
"""Test samples, at most: the same ones for all models of a data set."""
SEVERITIES = (1, 2, 3, 4, 5)
"""Of each kind of corruption."""
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of deleted pixels."""
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Fractions of the weights that are deleted."""
REPAIRED = (0.5, 0.9)
"""Fractions of the weights that are deleted before a repair."""
BITS = (8, 6, 4, 3, 2)
"""Bits per weight after quantisation."""
STEPS = 200
"""Steps of further training."""
BATCH = 64
RATES = (0.03, 0.3)
"""Learning rates of further training to try, as factors of the recipe's peak; validation chooses."""
SIZES = (10, 100, 1000)
"""Training samples of the few-shot transfer."""
HELD = 1000
"""Validation and test samples of further training, at most."""
