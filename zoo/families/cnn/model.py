"""A small convolutional network."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.cnn.config import CnnConfig
from zoo.utils.errors import BuildError


class Cnn(nn.Module):
    """Stages of convolutions with max pooling, then fully connected layers."""

    def __init__(self, config: CnnConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        if len(task.input_shape) != 3:
            raise BuildError(
                f"a cnn takes images [C, H, W], found inputs of shape {list(task.input_shape)}; use an mlp"
            )
        channels, height, width = task.input_shape
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for number, out in enumerate(config.channels):
            for _ in range(config.convolutions):
                self.convolutions.append(nn.Conv2d(channels, out, 3, padding=1, bias=False))
                self.norms.append(nn.BatchNorm2d(out))
                channels = out
            height, width = height // 2, width // 2
            if min(height, width) < 1:
                raise BuildError(f"channels.{number} leaves nothing of an input of shape {list(task.input_shape)}; "
                                 "set fewer model.channels")  # fmt: skip
        widths = [channels * height * width, *config.hidden, task.num_classes]
        self.layers = nn.ModuleList(nn.Linear(n, out) for n, out in pairwise(widths))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]``, normalised as in training -> logits ``[B, classes]``."""
        # In training, channels come last in memory: a CPU then takes a step in two thirds of the time, and the numbers
        # differ by rounding alone. Evaluation keeps the order in which stored models have their last bits. A copy,
        # because images of one channel count as having both orders.
        h = x.clone(memory_format=torch.channels_last) if self.training else x
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True), 1):
            h = norm(convolution(h))
            if number % self.config.convolutions == 0:
                h = F.max_pool2d(h, 2)  # before the ReLU, which then has a quarter of the work and the same results
            h = torch.relu(h)
        h = h.flatten(1)
        for number, layer in enumerate(self.layers):
            h = layer(self.dropout(h))
            if number < len(self.layers) - 1:
                h = torch.relu(h)
        return h


def ends(module: Cnn) -> Ends:
    """Return the first fully connected layer, which reads a flat input, and the last, whose outputs are the classes."""
    last = f"layers.{len(module.layers) - 1}"
    return Ends(inputs=("layers.0.weight",), classes={f"{last}.weight": 0, f"{last}.bias": 0})
