"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.mlp.config import MlpConfig

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class Mlp(nn.Module):
    """Fully connected layers with biases; an activation and dropout follow each but the last."""

    def __init__(self, config: MlpConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        widths = [math.prod(task.input_shape), *config.hidden, task.num_classes]
        self.layers = nn.ModuleList(nn.Linear(n, out) for n, out in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]``, normalised as in training -> logits ``[B, classes]``."""
        h = x.flatten(1)
        for number, layer in enumerate(self.layers):
            h = layer(h)
            if number < len(self.layers) - 1:
                h = self.dropout(_ACTIVATIONS[self.config.activation](h))
        return h


def ends(module: Mlp) -> Ends:
    """Return the first layer, which reads a flat input, and the last, whose outputs are the classes."""
    last = f"layers.{len(module.layers) - 1}"
    return Ends(inputs=("layers.0.weight",), classes={f"{last}.weight": 0, f"{last}.bias": 0})
