"""Training of a normnet: the loss, and restarts from a tree of checkpoints."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.families.learner import Learner, StepResult
from zoo.families.normnet.checkpoint_tree import CheckpointTree
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.layers import Layer


def power_loss(outputs: Tensor, targets: Tensor, power: float) -> Tensor:
    """Return ``|y - t|^p``, summed over the outputs and averaged over the batch: two ``[B, outputs]`` -> scalar.

    For p >= 1 the gradient is finite everywhere, and 0 where y = t.
    """
    return (outputs - targets).abs().pow(power).sum(-1).mean()


class NormnetLearner(Learner):
    """Trains with the config's loss, clamps weights after each step and, with a tree, restarts on plateaus."""

    config: NormnetConfig

    def __init__(self, module: nn.Module, config: NormnetConfig) -> None:
        super().__init__(module, config)
        self.tree = CheckpointTree(config.tree.window, config.tree.keep) if config.tree else None
        self.restarts = 0
        self._restart_due = False

    def on_start(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def training_step(self, inputs: Tensor, labels: Tensor) -> StepResult:
        if self._restart_due:
            self._restart()
        logits = self.module(inputs)
        logs = {"accuracy": (logits.detach().argmax(-1) == labels).float().mean()}
        if self.tree is not None:
            logs["restarts"] = logits.new_full((), float(self.restarts))
        if self.config.loss == "cross_entropy":
            return StepResult(F.cross_entropy(logits, labels), logs)
        classes = torch.arange(logits.shape[-1], device=labels.device)
        targets = (labels[:, None] == classes).to(logits.dtype)
        return StepResult(power_loss(logits, targets, self.config.power), logs)

    def on_step_end(self, step: int) -> None:
        # The next forward pass would clamp, too, but a running average (train.ema) reads the weights before it.
        for layer in self.module.modules():
            if isinstance(layer, Layer):
                layer.clamp_()

    def on_validation(self, step: int, accuracy: float) -> None:
        """Observe the error; a restart waits for the next step, so that training always ends with validated weights."""
        if self.tree is not None and self.config.tree is not None:
            self.tree.observe(1 - accuracy, self.module.state_dict())
            self._restart_due = self.tree.stale >= self.config.tree.patience

    def _restart(self) -> None:
        """Continue from a checkpoint of the tree with an empty optimizer state; every process picks the same one."""
        assert self.tree is not None
        assert self.config.tree is not None
        self._restart_due = False
        self.restarts += 1
        choice = self.tree.search(self.config.tree.pressure, torch.Generator().manual_seed(self.restarts))
        self.module.load_state_dict(self.tree.restore(choice.number))
        self._optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        if self.tree is None:
            return {}
        return {"tree": self.tree.state_dict(), "restarts": self.restarts, "restart_due": self._restart_due}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.tree is None:
            super().load_state_dict(state)
            return
        self.tree.load_state_dict(state["tree"])
        self.restarts, self._restart_due = state["restarts"], state["restart_due"]
