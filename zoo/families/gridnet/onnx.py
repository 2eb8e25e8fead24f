"""The gridnet as an ONNX graph of standard operators, built to run fast in onnxruntime.

The state is ``[cells, B]``, batch last, so that a neighbour is a run of ``B`` numbers. Cells are taken in
groups, runs of cells along K in up to two neighbouring rows; one Gather brings each group its neighbourhood and
one batched MatMul with a banded matrix per group does all 27 multiply-adds. The file holds the weights as the
module does, 27 per cell: the bands are made from them by operators on constants, which a runtime folds when it
loads the file. Outer steps are unrolled and share their initializers.

In an inner step the cells outside a block keep the values they had when the outer step began, so their part of
the sum is computed once per outer step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.onnx_builder import GraphBuilder

if TYPE_CHECKING:
    from zoo.families.gridnet.config import GridnetConfig
    from zoo.families.gridnet.model import Gridnet

_RUN = 8  # cells along K in one group: more of them waste arithmetic in the band, fewer make small matrices


@dataclass(frozen=True)
class _Groups:
    """How the cells of a grid ``M, N, K`` are grouped: ``rows`` rows of ``run`` cells each."""

    grid: tuple[int, int, int]
    rows: int
    run: int

    @property
    def width(self) -> int:
        """Cells along K that a group reads: its own, and one more at either end unless they are all of K."""
        return self.run if self.run == self.grid[2] else self.run + 2

    @property
    def counts(self) -> tuple[int, int, int]:
        m, n, k = self.grid
        return m, n // self.rows, k // self.run

    @property
    def cells(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    @property
    def inputs(self) -> int:
        """Cells that one group reads."""
        return 3 * (self.rows + 2) * self.width


def onnx_graph(module: Gridnet, task: Task) -> onnx.ModelProto:
    """``input [B, C, H, W]`` -> ``logits [B, classes]``, with all the module's weights as initializers."""
    g = GraphBuilder()
    h = _embed(g, module, task)
    h = _Evolution(g, module).run(h)
    return g.model("gridnet", _read(g, module, h), task.input_shape, task.num_classes)


def _groups(grid: tuple[int, int, int]) -> _Groups:
    run = max(size for size in range(1, _RUN + 1) if grid[2] % size == 0)
    # Two rows of a split K would interleave, and the state would no longer be in the order of the cells.
    rows = 2 if run == grid[2] and grid[1] % 2 == 0 else 1
    return _Groups(grid, rows, run)


def _embed(g: GraphBuilder, module: Gridnet, task: Task) -> str:
    """Images -> the initial state ``[M*N*K, B]``."""
    x, config = ONNX_INPUT, module.config
    if config.patch is not None:
        convolution = module.patch_embed
        weight, bias = (g.weight(f"patch_embed.{name}", tensor) for name, tensor in convolution.named_parameters())
        size = [config.patch.size] * 2
        x = g.op("Conv", x, weight, bias, kernel_shape=size, strides=size)
    before = [axis.start for axis in module.face]
    after = [length - axis.stop for axis, length in zip(module.face, config.grid, strict=True)]
    image = g.pad(g.transpose(x, (2, 3, 1, 0)), [*before, 0], [*after, 0])
    face = np.zeros([axis.stop - axis.start for axis in module.face])
    outside = g.pad(g.op("ConstantOfShape", g.constant(face.shape)), before, after, value=1.0)
    learned = g.op("Mul", g.weight("grid_init", module.grid_init), outside)
    return g.reshape(g.op("Add", image, g.reshape(learned, (*config.grid, 1))), (_groups(config.grid).cells, -1))


def _read(g: GraphBuilder, module: Gridnet, h: str) -> str:
    """The final state -> logits ``[B, classes]``."""
    config = module.config
    m, n, k = config.grid
    faces = g.slice(g.reshape(h, (m, n, k, -1)), 2, k - config.output_layers, k)
    features = g.reshape(faces, (m * n * config.output_layers, -1))
    normed = _layer_norm(g, module, "readout_norm", features)
    logits = g.op("MatMul", g.weight("readout.weight", module.readout.weight), normed)
    return g.op("Add", g.transpose(logits, (1, 0)), g.weight("readout.bias", module.readout.bias))


def _layer_norm(g: GraphBuilder, module: Gridnet, name: str, x: str) -> str:
    """LayerNorm over the first axis of ``[cells, B]``."""
    norm = module.get_submodule(name)
    centred = g.op("Sub", x, g.mean(x, [0]))
    variance = g.mean(g.op("Mul", centred, centred), [0])
    std = g.op("Sqrt", g.op("Add", variance, g.scalar(norm.eps)))  # type: ignore[arg-type]
    scaled = g.op("Mul", g.op("Div", centred, std), g.reshape(g.weight(f"{name}.weight", norm.weight), (-1, 1)))  # type: ignore[arg-type]
    return g.op("Add", scaled, g.reshape(g.weight(f"{name}.bias", norm.bias), (-1, 1)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _StepWeights:
    """The tensors of one parameter set, ready for the state's layout."""

    full: str
    """Bands of all 27 weights, ``[groups, outputs, inputs]``."""
    inside: str
    """Bands of the weights whose neighbour is in the cell's own block."""
    outside: str
    """Bands of the others."""
    total: str
    """The sum of each cell's 27 weights, ``[cells, 1]``."""
    bias: str
    """``[channels, cells, 1]``."""
    scale: str
    """``[cells, 1]``."""


class _Evolution:
    """All outer steps on the state ``[cells, B]``."""

    def __init__(self, g: GraphBuilder, module: Gridnet) -> None:
        self.g = g
        self.module = module
        self.config: GridnetConfig = module.config
        self.groups = _groups(module.config.grid)
        self.channels = 2 if module.config.gated else 1
        self.sets = [self._step_weights(index) for index in range(len(module.weight))]

    def run(self, h: str) -> str:
        for t in range(self.config.outer_steps):
            weights = self.sets[t % len(self.sets)]
            if self.config.outer_residual:
                normed = _layer_norm(self.g, self.module, "norm", h)
                h = self.g.op("Add", h, self.g.op("Sub", self._step(normed, weights), normed))
            else:
                h = _layer_norm(self.g, self.module, "norm", self._step(h, weights))
        return h

    def _step(self, h: str, weights: _StepWeights) -> str:
        g, config = self.g, self.config
        shell = _Shell(self.g, self.groups, config.block, h) if config.normalize else None
        start, later = h, config.inner_steps > 1
        fixed = self._weighted_sum(start, weights.outside) if later else None
        for inner in range(config.inner_steps):
            total = self._weighted_sum(h, weights.full if inner == 0 else weights.inside)
            if inner and fixed is not None:
                total = g.op("Add", total, fixed)
            if shell is not None:
                mean, spread = shell.statistics(h, config.eps)
                total = g.op("Div", g.op("Sub", total, g.op("Mul", weights.total, mean)), spread)
            h = self._update(h, total, weights)
        return h

    def _update(self, h: str, total: str, weights: _StepWeights) -> str:
        """The cell's rule, from the weighted sums ``[channels, cells, B]`` (or ``[cells, B]``)."""
        g = self.g
        pre = g.op("Add", total, weights.bias)
        if not self.config.gated:
            return g.op("Add", h, g.op("Mul", self._activation(pre), weights.scale))
        value, gate = (g.op("Gather", pre, g.constant(channel), axis=0) for channel in (0, 1))
        value, gate = self._activation(value), g.op("Sigmoid", gate)
        return g.op("Add", value, g.op("Mul", gate, g.op("Sub", h, value)))

    def _activation(self, x: str) -> str:
        match self.config.activation:
            case "silu":
                return self.g.op("Mul", x, self.g.op("Sigmoid", x))
            case "relu":
                return self.g.op("Relu", x)
            case "leaky_relu":
                return self.g.op("LeakyRelu", x, alpha=0.01)
            case "tanh":
                return self.g.op("Tanh", x)

    def _weighted_sum(self, h: str, bands: str) -> str:
        """``sum_i w_i * in_i`` of every cell: ``[cells, B]``, with two channels ``[2, cells, B]``."""
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

    def _with_ends(self, h: str) -> str:
        """Runs of cells with the neighbour at either end: ``[M*N, K/run, run + 2, B]``, zero beyond the grid."""
        g = self.g
        (m, n, k), run = self.groups.grid, self.groups.run
        parts = k // run
        runs = g.reshape(h, (m * n, parts, run, -1))
        lasts = g.slice(g.slice(runs, 2, run - 1, run), 1, 0, parts - 1)
        firsts = g.slice(g.slice(runs, 2, 0, 1), 1, 1, parts)
        before, after = g.pad(lasts, (0, 1, 0, 0), (0,) * 4), g.pad(firsts, (0,) * 4, (0, 1, 0, 0))
        return g.op("Concat", before, runs, after, axis=2)

    def _step_weights(self, index: int) -> _StepWeights:
        g, module, config = self.g, self.module, self.config

        def chosen(name: str) -> str:
            return g.op("Gather", g.weight(name, module.get_parameter(name)), g.constant(index), axis=0)

        taps = g.reshape(chosen("weight"), (3, 3, 3, self.channels, *config.grid))
        full = self._masked(taps, _in_grid)
        inside = outside = total = ""
        if config.inner_steps > 1:
            own = self._masked(taps, lambda length: _in_block(length, config.block))
            inside, outside = self._bands(own), self._bands(g.op("Sub", full, own))
        if config.normalize:  # a neighbour outside the grid is 0 before it is standardised, so its weight counts
            total = g.reshape(g.sum(taps, (0, 1, 2)), (-1, 1))
        column = (self.channels, -1, 1) if config.gated else (-1, 1)
        scale = "" if config.gated else g.reshape(chosen("residual_scale"), (-1, 1))
        return _StepWeights(self._bands(full), inside, outside, total, g.reshape(chosen("bias"), column), scale)

    def _masked(self, taps: str, mask: object) -> str:
        """Weights ``[3, 3, 3, channels, M, N, K]`` with 0 where the mask of an axis, ``[3, length]``, has 0."""
        for axis, length in enumerate(self.config.grid):
            shape = [1] * 7
            shape[axis], shape[4 + axis] = 3, length
            values = mask(length).reshape(shape)  # type: ignore[operator]
            taps = self.g.op("Mul", taps, self.g.constant(values, "float32"))
        return taps

    def _bands(self, taps: str) -> str:
        """Weights ``[3, 3, 3, channels, M, N, K]`` -> ``[groups, outputs of one, inputs of one]``."""
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


class _Shell:
    """The mean and spread of every block with its one-cell shell, which stays as it was in ``h``."""

    def __init__(self, g: GraphBuilder, groups: _Groups, block: int, h: str) -> None:
        self.g, self.grid, self.block = g, groups.grid, block
        cells = _shell_cells(groups.grid, block)
        # Cell number `cells` is the zero outside the grid.
        padded = g.pad(h, (0, 0), (1, 0))
        gathered = g.op("Gather", padded, g.constant(cells.reshape(-1), "int32"), axis=0)
        self.values = g.reshape(gathered, (*cells.shape, -1))
        self.size = (block + 2) ** 3

    def statistics(self, h: str, eps: float) -> tuple[str, str]:
        """Per cell ``[cells, B]``: its block's mean, and its standard deviation plus ``eps``."""
        g, b = self.g, self.block
        m, n, k = (axis // b for axis in self.grid)
        blocks = g.reshape(h, (m, b, n, b, k, b, -1))
        core = g.sum(blocks, (1, 3, 5))
        mean = self._divide(g.op("Add", core, self._as_core(g.sum(self.values, (1,)))))
        inner, outer = g.op("Sub", blocks, mean), g.op("Sub", self.values, g.reshape(mean, (m * n * k, 1, -1)))
        squares = g.sum(g.op("Mul", inner, inner), (1, 3, 5))
        shell_squares = g.sum(g.op("Mul", outer, outer), (1,))
        variance = self._divide(g.op("Add", squares, self._as_core(shell_squares)))
        spread = g.op("Add", g.op("Sqrt", variance), g.scalar(eps))
        return self._per_cell(mean), self._per_cell(spread)

    def _as_core(self, x: str) -> str:
        m, n, k = (axis // self.block for axis in self.grid)
        return self.g.reshape(x, (m, 1, n, 1, k, 1, -1))

    def _divide(self, x: str) -> str:
        return self.g.op("Div", x, self.g.scalar(self.size))

    def _per_cell(self, x: str) -> str:
        b, (m, n, k) = self.block, (axis // self.block for axis in self.grid)
        wide = self.g.op("Expand", x, self.g.constant([m, b, n, b, k, b, 1]))
        return self.g.reshape(wide, (self.grid[0] * self.grid[1] * self.grid[2], -1))


def _skew(g: GraphBuilder, taps: str, count: int) -> str:
    """``[X, count, 3]`` -> ``[X, count, count + 2]`` where row ``i`` has its three taps at columns i to i + 2."""
    padded = g.reshape(g.pad(taps, (0, 0, 0), (0, 0, count)), (-1, count * (count + 3)))
    return g.reshape(g.slice(padded, 1, 0, count * (count + 2)), (-1, count, count + 2))


def _neighbour_runs(groups: _Groups) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Which runs each group reads, in order; those outside the grid are any, as their weights are 0."""
    m, n, parts = groups.grid[0], groups.grid[1], groups.counts[2]
    z = np.clip(np.arange(m)[:, None] + np.arange(-1, 2), 0, m - 1)
    first = np.arange(0, n, groups.rows)
    y = np.clip(first[:, None] + np.arange(-1, groups.rows + 1), 0, n - 1)
    part = np.arange(parts)
    runs = (z[:, None, None, :, None] * n + y[None, :, None, None, :]) * parts + part[None, None, :, None, None]
    flat: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = runs.reshape(-1)
    return flat


def _in_grid(length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """``[3, length]``: whether the neighbour at -1, 0 and 1 along an axis is in the grid."""
    return _in_block(length, length)


def _in_block(length: int, block: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """``[3, length]``: whether the neighbour at -1, 0 and 1 along an axis is in the cell's own block."""
    place = np.arange(length) % block
    return np.stack([place > 0, place >= 0, place < block - 1])


def _shell_cells(grid: tuple[int, int, int], block: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """``[blocks, (block + 2)**3 - block**3]``: the cells around each block, the number of cells for outside."""
    cells = np.pad(np.arange(np.prod(grid)).reshape(grid), 1, constant_values=int(np.prod(grid)))
    windows = np.lib.stride_tricks.sliding_window_view(cells, (block + 2,) * 3)[::block, ::block, ::block]
    around = np.ones((block + 2,) * 3, bool)
    around[1:-1, 1:-1, 1:-1] = False
    return windows.reshape(-1, *around.shape)[:, around]
