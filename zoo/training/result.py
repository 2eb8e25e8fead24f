"""The result of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zoo.data.split import Data
from zoo.recipe import Recipe
from zoo.utils.stats import wilson_interval


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    recipe: Recipe
    module: nn.Module
    """What was tested (the weights' average if the recipe asks for one), on the CPU, in evaluation mode."""
    data: Data
    validation: Evaluation
    test: Evaluation
    steps: int
    epochs: float
    seconds: float
    """Of training, validations included, over all attempts of a resumed run."""
    history: list[dict[str, Any]]
    """One record per round: step, epoch, lr, train and validation loss and accuracy, seconds."""
    findings: dict[str, Any]
    """What the learner found, for the artifact's metrics."""
    run_dir: Path


@dataclass(frozen=True)
class Evaluation:
    """Counts over a part of the data set."""

    correct: int
    total: int
    loss: float
    """Mean cross-entropy."""

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class SeedResult:
    """How one seed's model did on the test data."""

    seed: int
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.total
