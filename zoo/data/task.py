"""The task that a data set poses to a model."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.tasks import TaskKind


@dataclass(frozen=True)
class Task:
    """The shape of one input, the number of outputs and their meaning, which a model must fit."""

    input_shape: tuple[int, ...]
    """``(C, H, W)`` for images, ``(features,)`` for tables."""
    num_classes: int
    """The number of outputs: one logit per class, or, for an echo, one value per value of an input."""
    kind: TaskKind = "classification"
    """The meaning of the outputs; :mod:`zoo.families.objective` has the losses."""
