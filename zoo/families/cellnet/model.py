"""The CellNet classifier: cells that exchange their cores through small MLPs, step by step.

Each layer of all edges' MLPs is one batched matmul. Source: the public CellNet repository's README, as described in
docs/families/cellnet.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.cellnet.config import CellnetConfig, StemConfig
from zoo.utils.errors import BuildError


class Trace(NamedTuple):
    """The cores and the logits after each of several steps."""

    cores: tuple[Tensor, ...]
    """Per step ``[B, N, C]``: N cells, C the largest core's size; smaller cores are padded with 0."""
    logits: tuple[Tensor, ...]
    """Per step ``[B, classes]``."""


class Cellnet(nn.Module):
    """N cells whose cores change in steps: each core adds the outputs of the MLPs that lead to its cell."""

    core_mask: Tensor
    sources: Tensor
    targets: Tensor

    def __init__(self, config: CellnetConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        cores, edges, hidden = config.cores, config.edges, [config.hidden] * len(config.edges)
        ins, outs = cores[: config.in_cells], cores[-config.out_cells :]
        self.stem = _stem(config.stem, task)
        features = _features(config.stem, task)
        self.input = MemberLinear([features] * len(ins), ins, width=max(cores))
        self.connections = nn.ModuleList(
            [
                MemberLinear([cores[source] for source, _ in edges], hidden, in_width=max(cores)),
                MemberLinear(hidden, hidden),
                MemberLinear(hidden, [cores[target] for _, target in edges], width=max(cores)),
            ]
        )
        read = [config.hidden] * len(outs)
        self.readout = nn.ModuleList(
            [MemberLinear(outs, read, in_width=max(cores)), MemberLinear(read, [task.num_classes] * len(outs))]
        )
        sizes = torch.tensor(cores)[:, None, None]
        self.register_buffer("core_mask", (torch.arange(max(cores)) < sizes).float(), persistent=False)
        self.register_buffer("sources", torch.tensor([source for source, _ in edges]), persistent=False)
        self.register_buffer("targets", torch.tensor([target for _, target in edges]), persistent=False)

    def forward(
        self,
        x: Tensor,
        steps: int | None = None,
        trace: bool = False,
        start: int = 0,
        cores: Tensor | None = None,
    ) -> Tensor | Trace:
        """Inputs ``[B, *input_shape]``, normalised as in training -> logits ``[B, classes]`` after step ``steps``.

        ``steps`` defaults to the config's ``input_steps``. With ``trace``, returns the cores and logits of every step.
        With ``start``, continues a sequence after that step from its ``cores [B, N, C]``. Raises ValueError unless
        ``0 <= start < steps``.
        """
        steps = self.config.input_steps if steps is None else steps
        if not 0 <= start < steps:
            raise ValueError(f"steps must be a whole number above {start}, found {steps}")
        if cores is None:
            cores = self.initial_cores(x.shape[0])
        fed = self.feed(x) if start < self.config.input_steps else None
        history = []
        for step in range(start, steps):
            cores = self.step(cores, fed if step < self.config.input_steps else None, first=step == 0)
            if trace and torch.is_grad_enabled() and not cores.requires_grad:
                cores.requires_grad_()  # no trained parameter led here, but the losses differentiate by the cores
            history.append(cores)
        if trace:
            return Trace(tuple(history), tuple(self.read(cores) for cores in history))
        return self.read(cores)

    def initial_cores(self, batch: int) -> Tensor:
        """Return the cores at the start, ``[B, N, C]``: ones, padded with 0 beyond a core's size."""
        return self.core_mask.expand(-1, batch, -1).transpose(0, 1)

    def read(self, cores: Tensor) -> Tensor:
        """Cores ``[B, N, C]`` -> logits ``[B, classes]``, the mean over the OutCells."""
        first, second = self.readout
        outs = cores.transpose(0, 1)[-self.config.out_cells :]
        logits: Tensor = second(F.relu(first(outs))).mean(0)
        return logits

    def step(self, cores: Tensor, fed: Tensor | None, first: bool) -> Tensor:
        """Run one time step of all cells at once: ``[B, N, C]`` -> ``[B, N, C]``."""
        cells = cores.transpose(0, 1)  # the cells are the first axis in memory, like the members of a batched matmul
        # In the very first step the connections receive zero vectors instead of cores, the same for every sample.
        sent = torch.zeros_like(cells[:, :1]) if first else cells
        one, two, three = self.connections
        moves: Tensor = three(F.relu(two(F.relu(one(sent.index_select(0, self.sources))))))
        update = moves.new_zeros(self.config.cells, *moves.shape[1:]).index_add(0, self.targets, moves)
        if fed is not None:
            update = update + fed
        return cores + (update * self.core_mask).transpose(0, 1)

    def feed(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]`` -> the addition to every core, ``[N, B, C]``: 0 except for InCells."""
        weight, bias = self.input.weight.flatten(0, 1), self.input.bias.flatten()
        fed = F.linear(self.stem(x), weight, bias).view(x.shape[0], *self.input.bias.shape).transpose(0, 1)
        return F.pad(fed, (0, 0, 0, 0, 0, self.config.cells - self.config.in_cells))


def ends(module: Cellnet) -> Ends:
    """Return the InCells' weights of the flat features, and the last layer of the OutCells."""
    return Ends(inputs=("input.weight",), classes={"readout.1.weight": 1, "readout.1.bias": 1})


class MemberLinear(nn.Module):
    """Several linear layers as one batched matmul; smaller layers are padded with weights that stay 0.

    Member ``m`` maps ``ins[m]`` numbers to ``outs[m]``; ``weight [M, out, in]`` and ``bias [M, out]`` start as those of
    ``nn.Linear``. Padded inputs and the gradients of padded outputs must be 0; otherwise the padding would learn.
    """

    def __init__(
        self, ins: Sequence[int], outs: Sequence[int], in_width: int | None = None, width: int | None = None
    ) -> None:
        super().__init__()
        in_width, width = in_width or max(ins), width or max(outs)
        bound = torch.tensor([1 / math.sqrt(size) for size in ins])
        in_mask = torch.arange(in_width) < torch.tensor(ins)[:, None]
        out_mask = torch.arange(width) < torch.tensor(outs)[:, None]
        weight = (2 * torch.rand(len(ins), width, in_width) - 1) * bound[:, None, None]
        bias = (2 * torch.rand(len(ins), width) - 1) * bound[:, None]
        self.weight = nn.Parameter(weight * out_mask[:, :, None] * in_mask[:, None, :])
        self.bias = nn.Parameter(bias * out_mask)

    def forward(self, x: Tensor) -> Tensor:
        """``[M, B, in]`` -> ``[M, B, out]``."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT)


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
