"""CellNet: cells with a core each, wired by small MLPs, that learn to predict their own gradient step.

All edges' MLPs are one batched matmul per layer. Source: the public CellNet repository's README; docs/cellnet.md
says what is taken from it and what is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from zoo.families import Family
from zoo.families.base import FamilyConfig, Learner, StepResult, Task
from zoo.families.cellnet_topology import Edge, FullTopology, Topology, arrival_steps, edges_of

if TYPE_CHECKING:
    import onnx

_GROWTH_STEPS = 10


class StemConfig(BaseModel):
    """Convolutions in front of the InCells: 3x3 without padding, 2x2 max-pooling and ReLU for each of ``channels``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[PositiveInt, ...] = Field(default=(32, 64), min_length=1)
    dropout: float = Field(default=0.25, ge=0, lt=1)
    """Of the features that the InCells are fed."""


class CellnetConfig(FamilyConfig):
    family: Literal["cellnet"] = "cellnet"
    cells: int = Field(ge=2, le=256)
    in_cells: PositiveInt = 2
    """The first so many cells take the input."""
    out_cells: PositiveInt = 1
    """The last so many cells give logits; the mean of theirs is the network's."""
    core: PositiveInt | tuple[PositiveInt, ...] = 128
    """Floats in a core: one size for all cells, or one for each."""
    hidden: PositiveInt = 64
    """Width of the MLPs of connections and outputs."""
    topology: Topology = FullTopology()
    stem: StemConfig | None = None
    steps: PositiveInt = 4
    """Time steps of a sequence in training, and of a prediction that names no number."""
    input_steps: PositiveInt = 2
    """The input is given in the first so many steps; in the others the network goes on without."""
    truncate: PositiveInt = 1
    """Gradients go back through windows of so many steps, with one optimizer step for each window."""
    core_lr: float = Field(default=1.0, gt=0)
    """The eta of C2 = C1 - eta dL/dC1, where L is the loss of one sample in one step."""
    loss_a: NonNegativeFloat = 1.0
    """Weight of loss (a), the prediction of C2; 0 trains the task alone."""
    loss_growth: NonNegativeFloat = 0.0
    """The alpha of a weight (1 + alpha)^t on the losses of step t (from 0), which stays as it is after ten steps."""

    @property
    def cores(self) -> tuple[int, ...]:
        """The size of each cell's core."""
        return self.core if isinstance(self.core, tuple) else (self.core,) * self.cells

    @property
    def edges(self) -> list[Edge]:
        return edges_of(self.topology, self.cells)

    @model_validator(mode="after")
    def _check(self) -> CellnetConfig:
        if self.in_cells + self.out_cells > self.cells:
            raise ValueError(
                f"in_cells {self.in_cells} and out_cells {self.out_cells} together exceed the {self.cells} cells"
            )
        if len(self.cores) != self.cells:
            raise ValueError(f"core lists {len(self.cores)} sizes, there are {self.cells} cells")
        if self.input_steps > self.steps:
            raise ValueError(f"input_steps {self.input_steps} must not exceed the {self.steps} steps")
        if self.truncate > self.steps:
            raise ValueError(f"truncate {self.truncate} must not exceed the {self.steps} steps")
        first_out = self.cells - self.out_cells
        arrivals = arrival_steps(self.edges, self.cells, self.in_cells)[first_out:]
        for cell, arrival in enumerate(arrivals, first_out):
            if arrival is None:
                raise ValueError(f"topology leads from no InCell to OutCell {cell}")
            if arrival > self.input_steps:
                raise ValueError(
                    f"input_steps {self.input_steps} end before the input reaches OutCell {cell}, in step {arrival}"
                )
        return self


class Trace(NamedTuple):
    """What happened in each of some steps."""

    cores: tuple[Tensor, ...]
    """After each step, ``[B, N, C]``; N cells, C the largest core, 0 beyond a smaller one's size."""
    logits: tuple[Tensor, ...]
    """After each step, ``[B, classes]``."""


class Cellnet(nn.Module):
    """N cells whose cores change in steps: each adds what the connections into it make of the others' cores."""

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

        ``trace`` gives cores and logits of every step instead. A sequence may go on after ``start`` steps from their
        ``cores [B, N, C]``. ``steps`` defaults to the config's. Raises ValueError unless ``0 <= start < steps``.
        """
        steps = self.config.steps if steps is None else steps
        if not 0 <= start < steps:
            raise ValueError(f"steps must be a whole number above {start}, found {steps}")
        if cores is None:
            cores = self.initial_cores(len(x))
        fed = self._feed(x) if start < self.config.input_steps else None
        history = []
        for step in range(start, steps):
            cores = self._step(cores, fed if step < self.config.input_steps else None, first=step == 0)
            history.append(cores)
        if trace:
            return Trace(tuple(history), tuple(self.read(cores) for cores in history))
        return self.read(cores)

    def initial_cores(self, batch: int) -> Tensor:
        """Ones, ``[B, N, C]``, and 0 beyond the size of a core."""
        return self.core_mask.expand(-1, batch, -1).transpose(0, 1)

    def read(self, cores: Tensor) -> Tensor:
        """Cores ``[B, N, C]`` -> logits ``[B, classes]``, the mean over the OutCells."""
        first, second = self.readout
        outs = cores.transpose(0, 1)[-self.config.out_cells :]
        logits: Tensor = second(F.relu(first(outs))).mean(0)
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _step(self, cores: Tensor, fed: Tensor | None, first: bool) -> Tensor:
        """One time step, all cells at once: ``[B, N, C]`` -> ``[B, N, C]``."""
        cells = cores.transpose(0, 1)  # cells lie first in memory, so that the members of a batched matmul do
        # In the very first step the connections are given zero vectors in the place of cores, for every sample alike.
        sent = torch.zeros_like(cells[:, :1]) if first else cells
        one, two, three = self.connections
        moves = three(F.relu(two(F.relu(one(sent.index_select(0, self.sources))))))
        update = moves.new_zeros(len(cells), *moves.shape[1:]).index_add(0, self.targets, moves)
        if fed is not None:
            update = update + fed
        return cores + (update * self.core_mask).transpose(0, 1)

    def _feed(self, x: Tensor) -> Tensor:
        """What the InCells add for inputs ``[B, *input_shape]``: ``[N, B, C]``, 0 for all other cells."""
        weight, bias = self.input.weight.flatten(0, 1), self.input.bias.flatten()
        fed = F.linear(self.stem(x), weight, bias).unflatten(1, (self.config.in_cells, -1)).transpose(0, 1)
        return F.pad(fed, (0, 0, 0, 0, 0, self.config.cells - self.config.in_cells))


class MemberLinear(nn.Module):
    """Several linear layers of one kind as one batched matmul, sizes of their own padded with weights that stay 0.

    Member ``m`` takes ``ins[m]`` numbers and gives ``outs[m]``; ``weight [M, out, in]`` and ``bias [M, out]`` start as
    those of ``nn.Linear``. A padded input must be 0 and the gradient of a padded output too, or padding would learn.
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


def _stem(stem: StemConfig | None, task: Task) -> nn.Module:
    if stem is None:
        return nn.Flatten()
    layers: list[nn.Module] = []
    for before, after in pairwise((task.input_shape[0], *stem.channels)):
        layers += [nn.Conv2d(before, after, kernel_size=3), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(stem.dropout), nn.Flatten())


def _features(stem: StemConfig | None, task: Task) -> int:
    """How many numbers the InCells are fed; raises ValueError for inputs that the stem does not take."""
    if stem is None:
        return math.prod(task.input_shape)
    if len(task.input_shape) != 3:
        raise ValueError(f"a stem takes images [C, H, W], the data has inputs of shape {list(task.input_shape)}")
    _, height, width = task.input_shape
    for _ in stem.channels:
        height, width = (height - 2) // 2, (width - 2) // 2
    if min(height, width) < 1:
        size = "x".join(map(str, task.input_shape[1:]))
        raise ValueError(f"an image of {size} is too small for a stem of {len(stem.channels)} convolutions")
    return stem.channels[-1] * height * width


class CellnetLearner(Learner):
    """Temporal training: each step is to make the move (a) that the last step's gradient asked for, and (b) the task's.

    With input, L = (a) + (b) (the first step has no (a)); without, L = (a). C2 = C1 - eta dL/dC1 is what (a) of the
    next step compares with. Cores, L and C2 are those of a sample, so they do not depend on the batch.
    """

    config: CellnetConfig

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        """One result per window of ``truncate`` steps; the last one's logs are the sequence's."""
        c = self.config
        steps = c.steps if c.loss_a else c.input_steps  # without loss (a), steps without input have no loss
        core: Tensor | None = None
        target: Tensor | None = None
        log = _SequenceLog(labels)
        for start in range(0, steps, c.truncate):
            stop = min(start + c.truncate, steps)
            trace = self.module(inputs, stop, trace=True, start=start, cores=core)
            total = torch.zeros((), device=inputs.device)
            for step, after, logits in zip(range(start, stop), *trace, strict=True):
                a = None if target is None else self._distance(after, target)
                b = F.cross_entropy(logits, labels, reduction="none") if step < c.input_steps else None
                loss = self._weight(step) * _add(b, None if a is None else c.loss_a * a)
                log.add(step < c.input_steps, core, after, target, a, b, logits)
                (slope,) = torch.autograd.grad(loss.sum(), after, retain_graph=True)
                core, target = after, after - c.core_lr * slope
                total = total + loss.mean()
            assert core is not None
            assert target is not None
            core, target = core.detach(), target.detach()
            yield StepResult(total, log.means())

    def _distance(self, core: Tensor, target: Tensor) -> Tensor:
        """Loss (a) of each sample, ``[B]``: the mean square over all numbers of all its cores."""
        return (core - target).square().sum((1, 2)) / sum(self.config.cores)

    def _weight(self, step: int) -> float:
        return float((1 + self.config.loss_growth) ** min(step, _GROWTH_STEPS))


def _add(*losses: Tensor | None) -> Tensor:
    present = [loss for loss in losses if loss is not None]
    assert present
    return torch.stack(present).sum(0)


class _SequenceLog:
    """Means over the steps of one sequence."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self.values: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def add(
        self,
        fed: bool,
        before: Tensor | None,
        after: Tensor,
        target: Tensor | None,
        a: Tensor | None,
        b: Tensor | None,
        logits: Tensor,
    ) -> None:
        found = {"loss_a": a, "loss_b": b}
        if before is not None and target is not None:
            kind = "cosine_with_input" if fed else "cosine_without_input"
            found[kind] = step_cosine(before, after, target)
        for name, value in found.items():
            if value is not None:
                self.values.setdefault(name, []).append(value.mean())
        self.values["accuracy"] = [(logits.argmax(-1) == self.labels).float().mean()]

    def means(self) -> dict[str, Tensor]:
        return {name: torch.stack(values).mean() for name, values in self.values.items()}


def step_cosine(before: Tensor, after: Tensor, target: Tensor) -> Tensor:
    """Cosine between the move that was made and the one that the gradient asked for, of each sample: ``[B]``.

    ``before`` is C1 of a step, ``target`` its C2 and ``after`` the next step's C1, each ``[B, N, C]``.
    """
    return F.cosine_similarity((after - before).flatten(1), (target - before).flatten(1), dim=1)


def _onnx_graph(module: Cellnet, task: Task) -> onnx.ModelProto:
    from zoo.families.cellnet_onnx import onnx_graph  # onnx is slow to import and needed to export only

    return onnx_graph(module, task)


_ABOUT = """..."""

FAMILY = Family(
    name="cellnet", config=CellnetConfig, build=Cellnet, learner=CellnetLearner, onnx_graph=_onnx_graph, about=_ABOUT
)
