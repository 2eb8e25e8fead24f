"""The weighted sums over 27 neighbours in ONNX: one Gather, then one batched MatMul with banded matrices.

A group of cells is a run along K, in one row or two neighbouring rows. The Gather brings each group its neighbourhood.
The group's matrix holds the weights of each of its cells in the columns of that cell's neighbours, and zeros elsewhere:
a band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.gridnet.model import Gridnet

_RUN = 8  # cells along K in one group: longer runs multiply more zeros, shorter ones make the matrices too small
_Indices = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Groups:
    """A partition of the cells of a grid ``M, N, K`` into groups of ``rows`` rows of ``run`` cells each."""

    grid: tuple[int, int, int]
    rows: int
    run: int

    @property
    def width(self) -> int:
        """Cells along K that a group reads: its own, and one more at either end unless its run spans K."""
        return self.run if self.run == self.grid[2] else self.run + 2

    @property
    def counts(self) -> tuple[int, int, int]:
        """Groups along M, N and K."""
        m, n, k = self.grid
        return m, n // self.rows, k // self.run

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def inputs(self) -> int:
        """Cells that one group reads."""
        return 3 * (self.rows + 2) * self.width


@dataclass(frozen=True)
class StepWeights:
    """The tensors of one parameter set, arranged for the state ``[cells, B]``."""

    full: str
    """Bands of all 27 weights, ``[groups, outputs, inputs]``."""
    inside: str
    """Bands of the weights whose neighbour is in the cell's own block."""
    outside: str
    """Bands of the other weights."""
    total: str
    """The sum of each cell's 27 weights, ``[cells, 1]``."""
    bias: str
    """``[channels, cells, 1]``."""
    scale: str
    """``[cells, 1]``."""


class WeightedSums:
    """Arranges weights in bands, and applies bands to a state."""

    def __init__(self, g: GraphBuilder, groups: Groups, channels: int) -> None:
        self.g = g
        self.groups = groups
        self.channels = channels

    def apply(self, h: str, bands: str) -> str:
        """``sum_i w_i * in_i`` of every cell: ``[cells, B]``, or ``[2, cells, B]`` with two channels."""
        g, groups = self.g, self.groups
        (m, n, k), run = groups.grid, groups.run
        if groups.width != run:
            h = g.reshape(self._with_ends(h), (m * n * (k // run), groups.width, -1))
            h = g.reshape(h, (m * n * (k // run), -1))
        else:
            h = g.reshape(h, (m * n, -1))
        count = groups.counts[0] * groups.counts[1] * groups.counts[2]
        neighbourhoods = g.reshape(
            g.op("Gather", h, g.constant(_neighbour_runs(groups), "int32"), axis=0), (count, groups.inputs, -1)
        )
        sums = g.op("MatMul", bands, neighbourhoods)
        if self.channels == 1:
            return g.reshape(sums, (groups.cells, -1))
        split = g.transpose(g.reshape(sums, (count, self.channels, groups.rows * run, -1)), (1, 0, 2, 3))
        return g.reshape(split, (self.channels, groups.cells, -1))

    def bands(self, taps: str) -> str:
        """Weights ``[3, 3, 3, channels, M, N, K]`` -> bands ``[groups, outputs of a group, inputs of a group]``."""
        g, groups = self.g, self.groups
        m, n, k = groups.counts
        c, rows, run, width = self.channels, groups.rows, groups.run, groups.width
        split = g.reshape(taps, (3, 3, 3, c, m, n, rows, k, run))
        along_k = g.reshape(g.transpose(split, (4, 5, 7, 3, 6, 0, 1, 8, 2)), (-1, run, 3))
        band = _skew(g, along_k, run)
        if width == run:
            band = g.slice(band, 2, 1, run + 1)
        apart = g.reshape(band, (m * n * k * c, rows, 3, 3, run, width))
        along_n = g.reshape(g.transpose(apart, (0, 2, 4, 5, 1, 3)), (-1, rows, 3))
        band = g.reshape(_skew(g, along_n, rows), (m * n * k * c, 3, run, width, rows, rows + 2))
        ordered = g.transpose(band, (0, 4, 2, 1, 5, 3))
        return g.reshape(ordered, (m * n * k, c * rows * run, groups.inputs))

    def _with_ends(self, h: str) -> str:
        """Runs of cells with the neighbour at either end: ``[M*N, K/run, run + 2, B]``, zero outside the grid."""
        g = self.g
        (m, n, k), run = self.groups.grid, self.groups.run
        parts = k // run
        runs = g.reshape(h, (m * n, parts, run, -1))
        lasts = g.slice(g.slice(runs, 2, run - 1, run), 1, 0, parts - 1)
        firsts = g.slice(g.slice(runs, 2, 0, 1), 1, 1, parts)
        before, after = g.pad(lasts, (0, 1, 0, 0), (0,) * 4), g.pad(firsts, (0,) * 4, (0, 1, 0, 0))
        return g.op("Concat", before, runs, after, axis=2)


def group_cells(grid: tuple[int, int, int]) -> Groups:
    """Choose the groups of a grid: the longest run of up to 8 cells that divides K, and one row or two."""
    run = max(size for size in range(1, _RUN + 1) if grid[2] % size == 0)
    # Two rows of several runs each would interleave, and the sums would no longer be in the order of the cells.
    rows = 2 if run == grid[2] and grid[1] % 2 == 0 else 1
    return Groups(grid, rows, run)


def step_weights(g: GraphBuilder, module: Gridnet, sums: WeightedSums, index: int) -> StepWeights:
    """Arrange parameter set ``index`` of a module; tensors that its config does not need are ``""``."""
    config = module.config

    def chosen(name: str) -> str:
        return g.op("Gather", g.weight(name, module.get_parameter(name)), g.constant(index), axis=0)

    taps = g.reshape(chosen("weight"), (3, 3, 3, sums.channels, *config.grid))
    full = _masked(g, taps, config.grid, _in_grid)
    inside = outside = total = ""
    if config.inner_steps > 1:
        own = _masked(g, taps, config.grid, lambda length: _in_block(length, config.block))
        inside, outside = sums.bands(own), sums.bands(g.op("Sub", full, own))
    if config.normalize:  # a neighbour outside the grid is 0 before it is standardised, so its weight counts
        total = g.reshape(g.sum(taps, (0, 1, 2)), (-1, 1))
    column = (sums.channels, -1, 1) if config.gated else (-1, 1)
    scale = "" if config.gated else g.reshape(chosen("residual_scale"), (-1, 1))
    return StepWeights(sums.bands(full), inside, outside, total, g.reshape(chosen("bias"), column), scale)


def _masked(g: GraphBuilder, taps: str, grid: tuple[int, int, int], mask: Callable[[int], _Mask]) -> str:
    """Weights ``[3, 3, 3, channels, M, N, K]`` with 0 where the mask of any axis, ``[3, length]``, is False."""
    for axis, length in enumerate(grid):
        shape = [1] * 7
        shape[axis], shape[4 + axis] = 3, length
        taps = g.op("Mul", taps, g.constant(mask(length).reshape(shape), "float32"))
    return taps


def _in_grid(length: int) -> _Mask:
    """``[3, length]``: True where the neighbour at -1, 0 and 1 along an axis is in the grid."""
    return _in_block(length, length)


def _in_block(length: int, block: int) -> _Mask:
    """``[3, length]``: True where the neighbour at -1, 0 and 1 along an axis is in the cell's own block."""
    place = np.arange(length) % block
    return np.stack([place > 0, place >= 0, place < block - 1])


def _skew(g: GraphBuilder, taps: str, count: int) -> str:
    """``[X, count, 3]`` -> ``[X, count, count + 2]``, row ``i`` with its three taps in columns i to i + 2."""
    padded = g.reshape(g.pad(taps, (0, 0, 0), (0, 0, count)), (-1, count * (count + 3)))
    return g.reshape(g.slice(padded, 1, 0, count * (count + 2)), (-1, count, count + 2))


def _neighbour_runs(groups: Groups) -> _Indices:
    """The runs that each group reads, in order; outside the grid any run will do, because its weights are 0."""
    m, n, parts = groups.grid[0], groups.grid[1], groups.counts[2]
    z = np.clip(np.arange(m)[:, None] + np.arange(-1, 2), 0, m - 1)
    first = np.arange(0, n, groups.rows)
    y = np.clip(first[:, None] + np.arange(-1, groups.rows + 1), 0, n - 1)
    part = np.arange(parts)
    runs = (z[:, None, None, :, None] * n + y[None, :, None, None, :]) * parts + part[None, None, :, None, None]
    flat: _Indices = runs.reshape(-1)
    return flat
