"""The cells of a CellNet, one by one, and the network that they make.

A cell says which other cells it listens to; :class:`CellNetwork` joins them. The family's own module
(:class:`zoo.families.cellnet.model.Cellnet`) is such a network, made from the cells of its config. The MLPs of all
connections are batched, so that each of their layers is one matmul (:mod:`zoo.families.cellnet.members`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.cellnet.members import MemberLinear
from zoo.families.cellnet.topology import Edge, arrival_steps

_Self = TypeVar("_Self", bound="Cell")


class Cell:
    """A standard cell: a core of ``core`` numbers that starts as ones, and the cells that it listens to.

    Cells have no weights of their own before :class:`CellNetwork` joins them.
    """

    def __init__(self, core: int = 128) -> None:
        self.core = _positive("core", core)
        self.sources: list[Cell] = []

    def listen(self: _Self, *cells: Cell) -> _Self:
        """Connect this cell to others: in each step an MLP per source adds to its core. Returns the cell itself.

        Raises ValueError for itself and for a cell that it listens to already.
        """
        for cell in cells:
            if cell is self or cell in self.sources:
                found = "the cell itself" if cell is self else "a cell twice"
                raise ValueError(f"listen: found {found}, allowed each other cell once")
            self.sources.append(cell)
        return self


class InCell(Cell):
    """A cell that also receives the input: a linear map of ``features`` numbers adds to its core."""

    def __init__(self, features: int, core: int = 128) -> None:
        super().__init__(core)
        self.features = _positive("features", features)


class OutCell(Cell):
    """A cell from which an MLP reads ``outputs`` numbers, the logits of a classifier."""

    def __init__(self, outputs: int, core: int = 128) -> None:
        super().__init__(core)
        self.outputs = _positive("outputs", outputs)


class Trace(NamedTuple):
    """The cores and the logits after each of several steps."""

    cores: tuple[Tensor, ...]
    """Per step ``[B, N, C]``: N cells, C the largest core's size; smaller cores are padded with 0."""
    logits: tuple[Tensor, ...]
    """Per step ``[B, classes]``."""


class CellNetwork(nn.Module):
    """Cells whose cores change in steps: each core adds the outputs of the MLPs that lead to its cell.

    ``cells`` are numbered with InCells first and OutCells last, otherwise in the order given. Every connection has an
    MLP core -> ``hidden`` -> ``hidden`` -> core, every OutCell an MLP core -> ``hidden`` -> outputs, with ReLU between;
    the outputs of several OutCells are averaged. ``input_steps`` is how many steps, from the first, receive the input,
    and how many a call runs by default. ``stem`` maps inputs to the features of the InCells; None: they are flattened.

    Raises ValueError for cells that do not fit each other, such as an OutCell that the input does not reach in time.
    """

    core_mask: Tensor
    sources: Tensor
    targets: Tensor

    def __init__(
        self, cells: Sequence[Cell], *, hidden: int = 64, input_steps: int = 2, stem: nn.Module | None = None
    ) -> None:
        super().__init__()
        _positive("hidden", hidden)
        ordered = _in_order(cells)
        ins = [cell for cell in ordered if isinstance(cell, InCell)]
        outs = [cell for cell in ordered if isinstance(cell, OutCell)]
        edges = _edges(ordered)
        _check(ordered, ins, outs, edges, input_steps)
        cores = [cell.core for cell in ordered]
        self.cells, self.in_cells, self.out_cells, self.input_steps = len(ordered), len(ins), len(outs), input_steps
        self.stem = nn.Flatten() if stem is None else stem
        widths = [hidden] * len(edges)
        self.input = MemberLinear([cell.features for cell in ins], cores[: len(ins)], width=max(cores))
        self.connections = nn.ModuleList(
            [
                MemberLinear([cores[source] for source, _ in edges], widths, in_width=max(cores)),
                MemberLinear(widths, widths),
                MemberLinear(widths, [cores[target] for _, target in edges], width=max(cores)),
            ]
        )
        read = [hidden] * len(outs)
        self.readout = nn.ModuleList(
            [
                MemberLinear(cores[-len(outs) :], read, in_width=max(cores)),
                MemberLinear(read, [cell.outputs for cell in outs]),
            ]
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
        """Inputs ``[B, *input_shape]`` -> outputs ``[B, outputs]`` after step ``steps``: the logits of a classifier.

        ``steps`` defaults to ``input_steps``. With ``trace``, returns the cores and logits of every step.
        With ``start``, continues a sequence after that step from its ``cores [B, N, C]``. Raises ValueError unless
        ``0 <= start < steps``.
        """
        steps = self.input_steps if steps is None else steps
        if not 0 <= start < steps:
            raise ValueError(f"steps must be a whole number above {start}, found {steps}")
        if cores is None:
            cores = self.initial_cores(x.shape[0])
        fed = self.feed(x) if start < self.input_steps else None
        history = []
        for step in range(start, steps):
            cores = self.step(cores, fed if step < self.input_steps else None, first=step == 0)
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
        outs = cores.transpose(0, 1)[-self.out_cells :]
        logits: Tensor = second(F.relu(first(outs))).mean(0)
        return logits

    def step(self, cores: Tensor, fed: Tensor | None, first: bool) -> Tensor:
        """Run one time step of all cells at once: ``[B, N, C]`` -> ``[B, N, C]``."""
        cells = cores.transpose(0, 1)  # the cells are the first axis in memory, like the members of a batched matmul
        # In the very first step the connections receive zero vectors instead of cores, the same for every sample.
        sent = torch.zeros_like(cells[:, :1]) if first else cells
        one, two, three = self.connections
        moves: Tensor = three(F.relu(two(F.relu(one(sent.index_select(0, self.sources))))))
        update = moves.new_zeros(self.cells, *moves.shape[1:]).index_add(0, self.targets, moves)
        if fed is not None:
            update = update + fed
        return cores + (update * self.core_mask).transpose(0, 1)

    def feed(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]`` -> the addition to every core, ``[N, B, C]``: 0 except for InCells."""
        weight, bias = self.input.weight.flatten(0, 1), self.input.bias.flatten()
        fed = F.linear(self.stem(x), weight, bias).view(x.shape[0], *self.input.bias.shape).transpose(0, 1)
        return F.pad(fed, (0, 0, 0, 0, 0, self.cells - self.in_cells))


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: found {value!r}, allowed positive integers")
    return value


def _in_order(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with InCells first and OutCells last; raises ValueError for a cell given twice."""
    if len({id(cell) for cell in cells}) < len(cells):
        raise ValueError("cells: found a cell twice, allowed each once")
    return sorted(cells, key=lambda cell: (isinstance(cell, OutCell), not isinstance(cell, InCell)))


def _edges(cells: Sequence[Cell]) -> list[Edge]:
    """Return the connections by the cells' numbers, ordered by target, then source."""
    numbers = {id(cell): number for number, cell in enumerate(cells)}
    if any(id(source) not in numbers for cell in cells for source in cell.sources):
        raise ValueError("cells: found one that listens to a cell outside the network; pass that one too")
    return [
        (source, target)
        for target, cell in enumerate(cells)
        for source in sorted(numbers[id(source)] for source in cell.sources)
    ]


def _check(
    cells: Sequence[Cell], ins: Sequence[InCell], outs: Sequence[OutCell], edges: Sequence[Edge], steps: int
) -> None:
    """Raise ValueError unless the InCells agree on features, the OutCells on outputs, and the input reaches them."""
    for name, found in (("features", {cell.features for cell in ins}), ("outputs", {cell.outputs for cell in outs})):
        if len(found) != 1:
            kind = "InCell" if name == "features" else "OutCell"
            listed = ", ".join(map(str, sorted(found))) or f"no {kind}"
            raise ValueError(f"cells: found {listed}, allowed {kind}s with the same number of {name}, at least one")
    arrivals = arrival_steps(edges, len(cells), len(ins))
    for number, arrival in enumerate(arrivals[len(cells) - len(outs) :]):
        if arrival is None or arrival > steps:
            reached = "never" if arrival is None else f"in step {arrival}"
            raise ValueError(f"input_steps: found {steps}, the input reaches OutCell {number} {reached}")
