"""The order of a grid's cells in ONNX: boxes of neighbouring cells, whose weighted sums are one matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from zoo.families.onnx_builder import GraphBuilder

_Indices = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_LARGEST = (4, 4, 16)
"""Longest sides of a box; a box of 256 cells already multiplies 20 zeros for each weight."""
_LANES = 16
"""Columns that a matrix product computes at once: the floats of a register."""
_PRODUCT, _RUN, _COPY, _ENDS = 0.022, 1.0, 0.625, 30.0
"""Nanoseconds of onnxruntime on one core: per multiply-add, per run that a box reads and per cell of it, and to give a
run ends. Fitted to the times of docs/measurements/gridnet_onnx.py.
"""


@dataclass(frozen=True)
class Groups:
    """A partition of the cells of a grid ``M, N, K`` into equal boxes, and the order of the cells that goes with it.

    The order is: boxes along three axes, then the cells of a box along the same axes. ``axes`` is the order of the
    axes; the cells of a box along the last of them are a run, which is contiguous.
    """

    grid: tuple[int, int, int]
    axes: tuple[int, int, int]
    """A permutation of 0, 1, 2."""
    box: tuple[int, int, int]
    """Cells of a box along each of ``axes``; each divides the length of its axis."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along each of ``axes``."""
        a, b, c = (self.grid[axis] for axis in self.axes)
        return a, b, c

    @property
    def counts(self) -> tuple[int, int, int]:
        """Boxes along each of ``axes``."""
        a, b, c = (length // side for length, side in zip(self.shape, self.box, strict=True))
        return a, b, c

    @property
    def count(self) -> int:
        """Boxes of the grid."""
        return self.cells // self.outputs

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def outputs(self) -> int:
        """Cells of a box."""
        return self.box[0] * self.box[1] * self.box[2]

    @property
    def runs(self) -> int:
        """Runs that a box reads: its own and their neighbours."""
        return (self.box[0] + 2) * (self.box[1] + 2)

    @property
    def width(self) -> int:
        """Cells of a run that a box reads: its own, and one more at either end unless the run spans its axis."""
        return self.box[2] if self.box[2] == self.shape[2] else self.box[2] + 2

    @property
    def inputs(self) -> int:
        """Cells that a box reads."""
        return self.runs * self.width

    def grouped(self, g: GraphBuilder, x: str) -> str:
        """``[X, cells]`` in the grid's own order -> the same in the order of the boxes."""
        return self._permuted(g, x, self._split(), self._order())

    def natural(self, g: GraphBuilder, x: str) -> str:
        """``[X, cells]`` in the order of the boxes -> the same in the grid's own order."""
        order = self._order()
        inverse = [order.index(axis) for axis in range(7)]
        return self._permuted(g, x, (*self.counts, *self.box), inverse)

    def neighbours(self) -> _Indices:
        """The numbers of the runs that each box reads, in order: ``[count * runs]``.

        Outside the grid any run will do, because the weights of its cells are 0.
        """
        (a, b, _), (p, r, _) = self.shape, self.box
        along_a, along_b, parts = self.counts
        numbers = np.arange(along_a * along_b * parts * p * r).reshape(along_a, along_b, parts, p, r)
        numbers = numbers.transpose(0, 3, 1, 4, 2).reshape(a, b, parts)
        first = np.clip(p * np.arange(along_a)[:, None] + np.arange(-1, p + 1), 0, a - 1)
        second = np.clip(r * np.arange(along_b)[:, None] + np.arange(-1, r + 1), 0, b - 1)
        part = np.arange(parts)[None, None, :, None, None]
        found: _Indices = numbers[first[:, None, None, :, None], second[None, :, None, None, :], part]
        return found.reshape(-1)

    def _split(self) -> tuple[int, ...]:
        """The grid's axes, each split into boxes and the cells of a box."""
        sides = [self.box[self.axes.index(axis)] for axis in range(3)]
        return tuple(size for length, side in zip(self.grid, sides, strict=True) for size in (length // side, side))

    def _order(self) -> list[int]:
        """The permutation from the split axes, after a leading one, to the order of the boxes."""
        return [0, *(1 + 2 * axis for axis in self.axes), *(2 + 2 * axis for axis in self.axes)]

    def _permuted(self, g: GraphBuilder, x: str, sizes: tuple[int, ...], order: list[int]) -> str:
        moved = [axis for axis in order[1:] if sizes[axis - 1] > 1]
        if moved == sorted(moved):
            return x
        return g.reshape(g.transpose(g.reshape(x, (-1, *sizes)), order), (-1, self.cells))


def group_cells(grid: tuple[int, int, int], channels: int = 1) -> Groups:
    """Choose the boxes of a grid whose cells have ``channels`` sums each: those of the least estimated time."""
    return min(_candidates(grid), key=lambda groups: _estimate(groups, channels))


def _candidates(grid: tuple[int, int, int]) -> Iterator[Groups]:
    for axes in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        sides = [
            [side for side in range(1, most + 1) if grid[axis] % side == 0]
            for axis, most in zip(axes, _LARGEST, strict=True)
        ]
        for p, r, run in product(*sides):
            yield Groups(grid, axes, (p, r, run))


def _estimate(groups: Groups, channels: int) -> float:
    """Nanoseconds per cell and sample of a large batch: products with padded columns, copies, the ends of runs."""
    outputs = channels * groups.outputs
    columns = -(-outputs // _LANES) * _LANES
    # One register of columns leaves the processor waiting for its multiply-adds.
    waiting = 1.1 if columns == _LANES else 1.0
    copies = groups.runs * (_RUN + _COPY * groups.width)
    ends = _ENDS / groups.box[2] if groups.width > groups.box[2] else 0.0
    return (_PRODUCT * waiting * groups.inputs * columns + copies) / groups.outputs + ends
