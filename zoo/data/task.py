"""The task that a data set poses to a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """The shape of one input and the number of classes, which a model must fit."""

    input_shape: tuple[int, ...]
    """``(C, H, W)`` for images, ``(features,)`` for tables."""
    num_classes: int
