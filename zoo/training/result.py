"""Results of training. Nothing here imports torch, so that artifacts and commands can use them without the loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.utils.stats import wilson_interval

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.split import Data
    from zoo.recipe import Recipe
    from zoo.training.start import Start


CHECKPOINT_FILE = "checkpoint.safetensors"
BEST_FILE = "best.safetensors"
"""The checkpoint of the best validation, with ``export.which: best``."""
SAMPLE_FILE = "example.png"
"""A test sample in the run folder, for the commands that follow a training."""


@dataclass(frozen=True)
class TrainResult:
    """A finished run: its model, its data and its accuracy."""

    recipe: Recipe
    module: nn.Module
    """The tested module (the average of the weights if the recipe sets ``train.ema``), on the CPU, in eval mode."""
    data: Data
    validation: Evaluation
    test: Evaluation
    steps: int
    epochs: float
    seconds: float
    """Training and validation time, over all attempts of a resumed run."""
    history: list[dict[str, Any]]
    """One record per round: step, epoch, lr, training and validation loss and accuracy, seconds."""
    findings: dict[str, Any]
    """The learner's findings, which go into the artifact's metrics."""
    run_dir: Path
    cpu_seconds: float = math.nan
    """Processor time of the first process, over all attempts; NaN if a resumed checkpoint did not record it."""
    start: Start | None = None
    """The trained model whose weights the run started from; None: random weights."""


@dataclass(frozen=True)
class Evaluation:
    """Counts and loss over one split."""

    correct: int
    total: int
    loss: float
    """Mean loss of the task's objective: cross-entropy, or for an echo the squared error."""

    @property
    def accuracy(self) -> float:
        """The share of correct samples, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class SeedResult:
    """Test counts of the model of one seed."""

    seed: int
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of correct test samples, in [0, 1]."""
        return self.correct / self.total
