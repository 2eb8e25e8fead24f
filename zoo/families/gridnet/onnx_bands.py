"""The weighted sums over 27 neighbours in ONNX: one Gather, then one batched MatMul with banded matrices.

The Gather brings each box of cells (:mod:`zoo.families.gridnet.onnx_groups`) its neighbourhood. The box's matrix holds
the weights of each of its cells in the rows of that cell's neighbours, and zeros elsewhere: a band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zoo.families.gridnet.onnx_groups import Groups
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.gridnet.model import Gridnet

_Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True)
class StepWeights:
    """The tensors of one parameter set, arranged for the state ``[B, cells]`` in the order of the boxes."""

    full: str
    """Bands of all 27 weights, ``[boxes, inputs, outputs]``."""
    inside: str
    """Bands of the weights whose neighbour is in the cell's own block."""
    outside: str
    """Bands of the other weights."""
    total: str
    """The sum of each cell's 27 weights, ``[cells]``."""
    bias: str
    """``[cells]``, or ``[2, 1, cells]`` when gated."""
    scale: str
    """``[cells]``."""


class WeightedSums:
    """Arranges weights in bands, and applies bands to a state."""

    def __init__(self, g: GraphBuilder, groups: Groups, channels: int) -> None:
        self.g = g
        self.groups = groups
        self.channels = channels

    def apply(self, h: str, bands: str) -> str:
        """``sum_i w_i * in_i`` of every cell: ``[B, cells]``, or ``[2, B, cells]`` with two channels.

        The batch is the rows of the matrices, so one sample is a product of a vector and a matrix, which every build of
        onnxruntime computes fast. onnxruntime makes the Transpose of the neighbourhoods part of the MatMul.
        """
        g, groups = self.g, self.groups
        rows = self._with_ends(h) if groups.width != groups.box[2] else g.reshape(h, (-1, *self._runs))
        gathered = g.op("Gather", rows, g.constant(groups.neighbours(), "int32"), axis=1)
        neighbourhoods = g.transpose(g.reshape(gathered, (-1, groups.count, groups.inputs)), (1, 0, 2))
        sums = g.op("MatMul", neighbourhoods, bands)
        if self.channels == 1:
            return g.reshape(g.transpose(sums, (1, 0, 2)), (-1, groups.cells))
        split = g.transpose(g.reshape(sums, (groups.count, -1, self.channels, groups.outputs)), (2, 1, 0, 3))
        return g.reshape(split, (self.channels, -1, groups.cells))

    def bands(self, taps: str) -> str:
        """Weights ``[3, 3, 3, channels, M, N, K]`` -> bands ``[boxes, inputs of a box, channels * outputs]``."""
        g, groups = self.g, self.groups
        (p, r, run), (a, b, parts), axes = groups.box, groups.counts, groups.axes
        ordered = g.transpose(taps, (*axes, 3, *(4 + axis for axis in axes)))
        split = g.reshape(ordered, (3, 3, 3, self.channels, a, p, b, r, parts, run))
        # The longest axis comes last, so that the other two are skewed while the tensor is small.
        x = self._skew(g.transpose(split, (4, 6, 8, 3, 7, 9, 1, 2, 5, 0)), p)
        x = g.reshape(x, (-1, r, run, 3, 3, p, p + 2))
        x = self._skew(g.transpose(x, (0, 2, 4, 5, 6, 1, 3)), r)
        x = g.reshape(x, (-1, run, 3, p, p + 2, r, r + 2))
        x = self._skew(g.transpose(x, (0, 3, 4, 5, 6, 1, 2)), run)
        if groups.width == run:
            x = g.slice(x, 2, 1, run + 1)
        x = g.reshape(x, (groups.count, self.channels, p, p + 2, r, r + 2, run, groups.width))
        ordered = g.transpose(x, (0, 3, 5, 7, 1, 2, 4, 6))
        return g.reshape(ordered, (groups.count, groups.inputs, self.channels * groups.outputs))

    @property
    def _runs(self) -> tuple[int, int]:
        """Runs of the grid, and cells of a run."""
        run = self.groups.box[2]
        return self.groups.cells // run, run

    def _with_ends(self, h: str) -> str:
        """Runs with the neighbour at either end: ``[B, runs, run + 2]``, zero outside the grid."""
        g, (p, r, run), (a, b, parts) = self.g, self.groups.box, self.groups.counts
        runs = g.reshape(h, (-1, a * b, parts, p * r, run))
        lasts = g.slice(g.slice(runs, 4, run - 1, run), 2, 0, parts - 1)
        firsts = g.slice(g.slice(runs, 4, 0, 1), 2, 1, parts)
        step, none = (0, 0, 1, 0, 0), (0,) * 5
        wide = g.op("Concat", g.pad(lasts, step, none), runs, g.pad(firsts, none, step), axis=4)
        return g.reshape(wide, (-1, self._runs[0], run + 2))

    def _skew(self, taps: str, count: int) -> str:
        """``[..., count, 3]`` -> ``[X, count, count + 2]``, row ``i`` with its three taps in columns i to i + 2."""
        g = self.g
        flat = g.reshape(taps, (-1, count, 3))
        if count == 1:
            return flat
        padded = g.reshape(g.pad(flat, (0, 0, 0), (0, 0, count)), (-1, count * (count + 3)))
        return g.reshape(g.slice(padded, 1, 0, count * (count + 2)), (-1, count, count + 2))


def step_weights(g: GraphBuilder, module: Gridnet, sums: WeightedSums, index: int) -> StepWeights:
    """Arrange parameter set ``index`` of a module; tensors that its config does not need are ``""``."""
    config, groups = module.config, sums.groups

    def chosen(name: str) -> str:
        return g.op("Gather", g.weight(name, module.get_parameter(name)), g.constant(index), axis=0)

    def per_cell(x: str, shape: tuple[int, ...] = (-1,)) -> str:
        return g.reshape(groups.grouped(g, g.reshape(x, (-1, groups.cells))), shape)

    taps = g.reshape(chosen("weight"), (3, 3, 3, sums.channels, *config.grid))
    full = _masked(g, taps, config.grid, _in_grid)
    inside = outside = total = ""
    if config.inner_steps > 1:
        own = _masked(g, taps, config.grid, lambda length: _in_block(length, config.block))
        inside, outside = sums.bands(own), sums.bands(g.op("Sub", full, own))
    if config.normalize:  # a neighbour outside the grid is 0 before it is standardised, so its weight counts
        total = per_cell(g.sum(taps, (0, 1, 2)))
    bias = per_cell(chosen("bias"), (sums.channels, 1, -1) if config.gated else (-1,))
    scale = "" if config.gated else per_cell(chosen("residual_scale"))
    return StepWeights(sums.bands(full), inside, outside, total, bias, scale)


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
