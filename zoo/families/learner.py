"""The default learner: the loss of the task's objective, and the hooks that a family may override."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families.base import FamilyConfig
from zoo.families.objective import OBJECTIVES, Objective


@dataclass
class StepResult:
    """The result of one training step: the loss to differentiate, and numbers to log."""

    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


class Learner:
    """Learns the task's objective, such as softmax classification. The training loop owns optimizer and schedule.

    A step and its hooks leave numbers on their device: ``float(tensor)`` would let a GPU and its host wait for each
    other in every step. Hooks of an epoch or a validation may read them.
    """

    averageable = True
    """True if a running average of the weights (``train.ema``) makes sense."""
    objective: Objective = OBJECTIVES["classification"]
    """The target, the loss and the right answers of the data's task, which :func:`zoo.training.setup.setup` sets."""

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        self.module = module
        self.config = config

    def on_start(self, optimizer: Optimizer) -> None:
        """Run once before the first step, after a resumed run's state is loaded; the loop still owns the optimizer."""

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        """Yield the steps on a batch; the loop takes one optimizer step per result before it asks for the next."""
        yield self.training_step(inputs, labels)

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        """Compute the loss and the logs of a batch: inputs ``[B, *input_shape]``, integer labels ``[B]``."""
        outputs, target = self.module(inputs), self.objective.target(inputs, labels)
        accuracy = self.objective.right(outputs.detach(), target).float().mean()
        return StepResult(self.objective.loss(outputs, target), {"accuracy": accuracy})

    def on_step_end(self, step: int) -> None:
        """Run after batch number ``step`` (from 1)."""

    def on_epoch_end(self, epoch: int) -> None:
        """Run after epoch number ``epoch`` (from 1), before validation."""

    def before_validation(self, step: int) -> None:
        """Run before each validation: the last chance to change the weights that are tested and exported."""

    def on_validation(self, step: int, accuracy: float) -> None:
        """Run after each validation, before the checkpoint; ``accuracy`` is in [0, 1]."""

    @property
    def finished(self) -> bool:
        """True if training should stop before the recipe's last step; read after each validation."""
        return False

    def on_finish(self, validation: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Run once after the last step, before the final validation and test.

        ``validation`` yields the prepared inputs and labels of the validation split, batch by batch, for choices that
        are made on it, such as the weights of an ensemble.
        """

    def findings(self) -> dict[str, Any]:
        """Return plain JSON values about the finished training, for the artifact's metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors and plain JSON values that a resumed run needs beyond module and optimizer.

        It is called after each validation, and once before the first step.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`. Raises ValueError for keys that this learner does not save."""
        if state:
            raise ValueError(f"state of {type(self).__name__}: found keys {sorted(state)}, expected none")
