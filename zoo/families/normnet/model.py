"""The normnet classifier: norm convolutions, then fully connected norm layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.normnet.config import ConvolutionConfig, NormnetConfig, View
from zoo.families.normnet.layers import NormConvolution, NormLayer, ResidualNormLayer
from zoo.utils.errors import BuildError

_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}

_MOST_VALUES = 2**28
"""Most values that a convolution may compute for one input; as float32 they take a GiB."""


class Normnet(nn.Module):
    """Convolutions, if any, then fully connected layers; the outputs of the last are the logits."""

    def __init__(self, config: NormnetConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        self.input_shape = task.input_shape
        channels, *space = self.view_shape = seen_shape(config.view, task.input_shape)
        if config.convolutions and not space:
            raise BuildError(f"convolutions take inputs [C, *space], found inputs of shape {[channels]}; "
                             "set model.convolutions to [], or model.view to sequence")  # fmt: skip
        self.convolutions = nn.ModuleList()
        for number, c in enumerate(config.convolutions):
            settings = config.settings(c.scale)
            self.convolutions.append(
                NormConvolution(len(space), channels, c.channels, c.size, settings, c.stride, c.padding)
            )
            computed = c.channels * math.prod(n + 2 * c.padding for n in space)
            if computed > _MOST_VALUES:
                raise BuildError(f"convolutions.{number} computes {computed:,} values, allowed are {_MOST_VALUES:,}")
            channels, space = c.channels, [_length(n, c) for n in space]
            if min(space) < 1:
                raise BuildError(f"convolutions.{number} leaves nothing of an input of shape "
                                 f"{list(task.input_shape)}; set data.image_size or model.convolutions")  # fmt: skip
        widths = [channels * math.prod(space), *config.hidden, task.num_classes]
        scales = [config.hidden_scale] * len(config.hidden) + [config.scale]
        self.layers = nn.ModuleList()
        for number, ((n, out), scale) in enumerate(zip(pairwise(widths), scales, strict=True)):
            residual = config.residual and n == out and number < len(config.hidden)
            layer = ResidualNormLayer if residual else NormLayer
            self.layers.append(layer(n, out, config.settings(scale)))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]``, normalised as in training -> logits ``[B, classes]``."""
        return self.states(x)[-1]

    def seen(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]`` -> the form that convolutions see, ``[B, channels, *space]``."""
        if self.config.view == "rows":
            x = x.transpose(2, 3)
        return x.reshape(x.shape[0], *self.view_shape) if self.config.view is not None else x

    def states(self, x: Tensor) -> list[Tensor]:
        """Return the output of each layer, ``[B, channels, *space]`` after pooling or ``[B, units]``; logits last."""
        states = []
        x = self.seen(x)
        for config, convolution in zip(self.config.convolutions, self.convolutions, strict=True):
            x = convolution(x)
            if config.pool > 1:
                x = _POOLS[x.dim() - 2](x, config.pool)
            states.append(x)
        x = x.flatten(1)
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        return states


def seen_shape(view: View | None, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape ``[channels, *space]`` in which convolutions see inputs; raises BuildError for other inputs."""
    if view is None:
        return tuple(shape)
    if len(shape) != (1 if view == "sequence" else 3):
        allowed = "features" if view == "sequence" else "images [C, H, W]"
        raise BuildError(f"view {view} takes {allowed}, found inputs of shape {list(shape)}; change model.view")
    if view == "rows":
        channels, height, width = shape
        return channels * width, height
    return 1, *shape


def ends(module: Normnet) -> Ends:
    """Return the first fully connected layer, which reads a flat input, and the last, whose outputs are the classes."""
    first, last = "layers.0", f"layers.{len(module.layers) - 1}"
    return Ends(inputs=(f"{first}.weight",), classes={f"{last}.weight": 0, f"{last}.bias": 0})


def _length(length: int, c: ConvolutionConfig) -> int:
    """Return the length of an axis after the convolution and its pooling."""
    return ((length + 2 * c.padding - c.size) // c.stride + 1) // c.pool
