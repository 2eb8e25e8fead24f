"""The input and the result of a family's probe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from zoo.data.task import Task

if TYPE_CHECKING:
    from zoo.config.train import TrainConfig
    from zoo.data.split import Data


@dataclass(frozen=True)
class ProbeContext:
    """Everything that a family's probe may use: a trained model, its data, and the record of its training."""

    module: nn.Module
    """The exported weights, on the CPU, in eval mode."""
    config: Any
    """The family's config."""
    task: Task
    data: Data
    """The splits ``train``, ``validation`` and ``test``; probes choose on validation and report on test."""
    seed: int
    history: list[dict[str, Any]]
    """One record per training round: step, epoch, losses, accuracies and the means of the learner's logs."""
    figures: Path
    """An empty folder for PNG and GIF files."""
    train: TrainConfig | None = None
    """The ``train:`` section of the model's recipe, for a probe that trains further networks."""


@dataclass(frozen=True)
class Findings:
    """The result of a probe: numbers for config.json, Markdown for the card, and captions by figure file name."""

    metrics: dict[str, Any]
    text: str
    figures: dict[str, str]
