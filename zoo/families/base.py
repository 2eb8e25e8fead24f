"""What every family builds on: its config's base class, the task it is built for, and the learner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn


class FamilyConfig(BaseModel):
    """Base of every family's config: unknown keys are refused, values cannot change once built."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str


@dataclass(frozen=True)
class Task:
    """What the data asks of a model: the shape of one input (``[C, H, W]`` or ``[features]``) and the classes."""

    input_shape: tuple[int, ...]
    num_classes: int


@dataclass
class StepResult:
    """What one training step gives the loop: the loss to differentiate and numbers to log beside it."""

    loss: Tensor
    logs: dict[str, Tensor] = field(default_factory=dict)


class Learner:
    """Softmax classification, and the hooks a family may override. The loop owns optimizer and schedule."""

    def __init__(self, module: nn.Module, config: FamilyConfig) -> None:
        self.module = module
        self.config = config

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        """Losses and logs of a batch: inputs ``[B, *input_shape]``, integer labels ``[B]``."""
        logits = self.module(inputs)
        accuracy = (logits.detach().argmax(-1) == labels).float().mean()
        return StepResult(F.cross_entropy(logits, labels), {"accuracy": accuracy})

    def on_step_end(self, step: int) -> None:
        """Called after the optimizer's step number ``step`` (from 1)."""

    def on_epoch_end(self, epoch: int) -> None:
        """Called after epoch number ``epoch`` (from 1), before validation."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain JSON values that a resumed run needs beyond module and optimizer."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, found keys {sorted(state)}")
