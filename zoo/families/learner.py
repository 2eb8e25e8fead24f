"""The learner: softmax classification, and the hooks that a family may override."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families.base import FamilyConfig

if TYPE_CHECKING:
    pass


@dataclass
class StepResult:
    """What one training step gives the loop: the loss to differentiate and numbers to log beside it."""

    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


class Learner:
    """Softmax classification, and the hooks a family may override. The loop owns optimizer and schedule."""

    averageable = True
    """Whether a running average of the weights (``train.ema``) makes sense."""

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        self.module = module
        self.config = config

    def on_start(self, optimizer: Optimizer) -> None:
        """Called once before the first step, after a resumed run's state was loaded; the loop goes on owning it."""

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        """What to learn from a batch: the loop takes one optimizer step for each result before it asks for the next."""
        yield self.training_step(inputs, labels)

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        """Losses and logs of a batch: inputs ``[B, *input_shape]``, integer labels ``[B]``."""
        logits = self.module(inputs)
        accuracy = (logits.detach().argmax(-1) == labels).float().mean()
        return StepResult(F.cross_entropy(logits, labels), {"accuracy": accuracy})

    def on_step_end(self, step: int) -> None:
        """Called after batch number ``step`` (from 1)."""

    def on_epoch_end(self, epoch: int) -> None:
        """Called after epoch number ``epoch`` (from 1), before validation."""

    def before_validation(self, step: int) -> None:
        """Called before each validation: the last chance to change what is tested and exported."""

    def on_validation(self, step: int, accuracy: float) -> None:
        """Called after each validation, before the checkpoint; ``accuracy`` in [0, 1]."""

    @property
    def finished(self) -> bool:
        """Whether training should stop before the recipe's last step; asked after each validation."""
        return False

    def on_finish(self, validation: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Called once after the last step with the validation part, batch after batch: prepared inputs and labels.

        For what is chosen on it, such as the weights of an ensemble; validation and test follow.
        """

    def findings(self) -> dict[str, Any]:
        """Plain JSON values about the finished training, for the artifact's metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain JSON values that a resumed run needs beyond module and optimizer."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, found keys {sorted(state)}")
