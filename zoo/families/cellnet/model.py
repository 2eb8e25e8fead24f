"""The CellNet classifier: the cells of a config, and the stem before them.

Source: the public CellNet repository's README, as described in docs/families/cellnet.md.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.cellnet.cells import Cell, CellNetwork, InCell, OutCell
from zoo.families.cellnet.config import CellnetConfig, StemConfig
from zoo.utils.errors import BuildError


class Cellnet(CellNetwork):
    """The network of a config's cells, connected by its topology."""

    def __init__(self, config: CellnetConfig, task: Task) -> None:
        stem = _stem(config.stem, task)
        cells = make_cells(config, _features(config.stem, task), task.num_classes)
        super().__init__(cells, hidden=config.hidden, input_steps=config.input_steps, stem=stem)
        self.config = config


def make_cells(config: CellnetConfig, features: int, outputs: int) -> list[Cell]:
    """Return the cells of a config, InCells first and OutCells last, connected by its topology."""
    first_out = config.cells - config.out_cells
    cells: list[Cell] = [
        InCell(features, core)
        if number < config.in_cells
        else OutCell(outputs, core)
        if number >= first_out
        else Cell(core)
        for number, core in enumerate(config.cores)
    ]
    for source, target in config.edges:
        cells[target].listen(cells[source])
    return cells


def ends(module: Cellnet) -> Ends:
    """Return the InCells' weights of the flat features, and the last layer of the OutCells."""
    return Ends(inputs=("input.weight",), classes={"readout.1.weight": 1, "readout.1.bias": 1})


class ChannelsLast(nn.Module):
    """Stores the channels of images ``[B, C, H, W]`` last in memory: CPUs then run convolutions up to twice as fast."""

    def forward(self, x: Tensor) -> Tensor:
        """Return equal images; only the order in memory differs."""
        # A copy, because images of one channel count as having both orders, and convolutions would choose the other.
        return x.clone(memory_format=torch.channels_last)


def _stem(stem: StemConfig | None, task: Task) -> nn.Module:
    if stem is None:
        return nn.Flatten()
    # Only with batch normalisation: another order in memory would change the last bits of models without it that ship.
    layers: list[nn.Module] = [ChannelsLast()] if stem.batch_norm else []
    widths = pairwise((task.input_shape[0], *stem.channels))
    for depth, pooled, (before, after) in zip(stem.depths, stem.pooled, widths, strict=True):
        for number in range(depth):
            channels = after if number else before
            layers.append(nn.Conv2d(channels, after, kernel_size=3, padding=stem.padding, bias=not stem.batch_norm))
            if stem.batch_norm:
                layers.append(nn.BatchNorm2d(after))
            layers += [nn.MaxPool2d(2), nn.ReLU()] if pooled and number == depth - 1 else [nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(stem.dropout), nn.Flatten())


def _features(stem: StemConfig | None, task: Task) -> int:
    """Return the number of features that the InCells receive. Raises BuildError if the stem does not fit the inputs."""
    if stem is None:
        return math.prod(task.input_shape)
    if len(task.input_shape) != 3:
        raise BuildError(f"a stem takes images [C, H, W], found inputs of shape {list(task.input_shape)}; "
                         "set model.stem to null")  # fmt: skip
    _, height, width = task.input_shape
    for depth, pooled in zip(stem.depths, stem.pooled, strict=True):
        shrink = 2 * depth * (1 - stem.padding)
        height, width = ((side - shrink) // (2 if pooled else 1) for side in (height, width))
    if min(height, width) < 1:
        size = "x".join(map(str, task.input_shape[1:]))
        raise BuildError(f"an image of {size} is too small for a stem of {sum(stem.depths)} convolutions; "
                         "set data.image_size or model.stem")  # fmt: skip
    return stem.channels[-1] * height * width
