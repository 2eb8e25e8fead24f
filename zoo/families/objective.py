"""Objectives: the target, the loss and the right answers of each kind of task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sdk.tasks import ECHO_BOUND, TaskKind

Reduction = Literal["mean", "sum"]


class Objective(ABC):
    """A kind of task: what a module's ``outputs [B, O]`` should be, and how far they are from it.

    Training, validation, test and ``zoo eval`` all ask the objective, so accuracy is the share of samples that it calls
    right, whatever the task.
    """

    @abstractmethod
    def target(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the target of each sample ``[B, ...]`` from prepared inputs ``[B, *shape]`` and labels ``[B]``."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Return the losses of all samples, summed or averaged over the batch."""

    @abstractmethod
    def right(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return, as booleans ``[B]``, which samples are answered right."""

    @abstractmethod
    def bounds(self, outputs: Tensor, target: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
        """Return, as booleans ``[B]``, which samples are right whatever the rounding of outputs, and which may be.

        ``rounding`` bounds the error of each output.
        """


class Classification(Objective):
    """Outputs are logits, targets are class numbers; the class with the largest logit is the answer."""

    def target(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return labels

    def loss(self, outputs: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
        return F.cross_entropy(outputs, target, reduction=reduction)

    def right(self, outputs: Tensor, target: Tensor) -> Tensor:
        return outputs.argmax(-1) == target

    def bounds(self, outputs: Tensor, target: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
        own = outputs.gather(1, target[:, None])[:, 0]
        rival = outputs.scatter(1, target[:, None], -torch.inf).amax(1)
        return own > rival + 2 * rounding, own >= rival - 2 * rounding


class Echo(Objective):
    """Outputs are a copy of the input, value by value. The loss of a sample is its mean squared error.

    Inputs are in units of the data's standard deviation, so a loss of 1 is that of a constant answer. A sample counts
    as right if its loss is below :data:`sdk.tasks.ECHO_BOUND`.
    """

    def target(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return inputs.flatten(1)

    def loss(self, outputs: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
        errors = self._errors(outputs, target)
        return errors.mean() if reduction == "mean" else errors.sum()

    def right(self, outputs: Tensor, target: Tensor) -> Tensor:
        return self._errors(outputs, target) < ECHO_BOUND

    def bounds(self, outputs: Tensor, target: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
        # A root mean square changes by at most the rounding of each value.
        distance, bound = self._errors(outputs, target).sqrt(), ECHO_BOUND**0.5
        return distance < bound - rounding, distance < bound + rounding

    @staticmethod
    def _errors(outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs - target).square().mean(1)


OBJECTIVES: Mapping[TaskKind, Objective] = {"classification": Classification(), "echo": Echo()}
"""The objective of each kind of task."""
