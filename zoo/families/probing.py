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
    """What a family's probe may use: a trained model, its data, and how its training went."""

    module: nn.Module
    """The exported weights, on the CPU, in eval mode."""
    config: Any
    """The family's config."""
    task: Task
    data: Data
    """Splits ``train``, ``validation`` and ``test``; choices are made on validation, test is for what is reported."""
    seed: int
    history: list[dict[str, Any]]
    """One record per round of the training: step, epoch, losses, accuracies and the learner's mean logs."""
    figures: Path
    """An empty folder for PNG and GIF files."""
    train: TrainConfig | None = None
    """How it was trained, for a probe that trains anew."""


@dataclass(frozen=True)
class Findings:
    """What a probe found: numbers for config.json, Markdown for the card, figures by file name with their captions."""

    metrics: dict[str, Any]
    text: str
    figures: dict[str, str]
