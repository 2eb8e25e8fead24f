"""The statistics of blocks in ONNX: mean and spread of each block together with its one-cell shell."""

from __future__ import annotations

import numpy as np

from zoo.families.onnx_builder import GraphBuilder


class Shells:
    """The shells of all blocks, which keep the values of the state ``h [B, cells]`` during the inner steps."""

    def __init__(self, g: GraphBuilder, grid: tuple[int, int, int], block: int, h: str) -> None:
        self.g, self.grid, self.block = g, grid, block
        cells = _shell_cells(grid, block)
        # Cell number `cells` is the zero outside the grid.
        padded = g.pad(h, (0, 0), (0, 1))
        gathered = g.op("Gather", padded, g.constant(cells.reshape(-1), "int32"), axis=1)
        self.values = g.reshape(gathered, (-1, *cells.shape))
        self.size = (block + 2) ** 3

    def statistics(self, h: str, eps: float) -> tuple[str, str]:
        """Return per cell, ``[B, cells]``: the mean of its block and shell, and their standard deviation + ``eps``."""
        g, b = self.g, self.block
        m, n, k = (axis // b for axis in self.grid)
        blocks = g.reshape(h, (-1, m, b, n, b, k, b))
        core = g.sum(blocks, (2, 4, 6))
        mean = self._divide(g.op("Add", core, self._as_core(g.sum(self.values, (2,)))))
        inner, outer = g.op("Sub", blocks, mean), g.op("Sub", self.values, g.reshape(mean, (-1, m * n * k, 1)))
        squares = g.sum(g.op("Mul", inner, inner), (2, 4, 6))
        shell_squares = g.sum(g.op("Mul", outer, outer), (2,))
        variance = self._divide(g.op("Add", squares, self._as_core(shell_squares)))
        spread = g.op("Add", g.op("Sqrt", variance), g.scalar(eps))
        return self._per_cell(mean), self._per_cell(spread)

    def _as_core(self, x: str) -> str:
        m, n, k = (axis // self.block for axis in self.grid)
        return self.g.reshape(x, (-1, m, 1, n, 1, k, 1))

    def _divide(self, x: str) -> str:
        return self.g.op("Div", x, self.g.scalar(self.size))

    def _per_cell(self, x: str) -> str:
        b, (m, n, k) = self.block, (axis // self.block for axis in self.grid)
        wide = self.g.op("Expand", x, self.g.constant([1, m, b, n, b, k, b]))
        return self.g.reshape(wide, (-1, self.grid[0] * self.grid[1] * self.grid[2]))


def _shell_cells(grid: tuple[int, int, int], block: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """``[blocks, (block + 2)**3 - block**3]``: the cells around each block; outside the grid, the number of cells."""
    cells = np.pad(np.arange(np.prod(grid)).reshape(grid), 1, constant_values=int(np.prod(grid)))
    windows = np.lib.stride_tricks.sliding_window_view(cells, (block + 2,) * 3)[::block, ::block, ::block]
    around = np.ones((block + 2,) * 3, bool)
    around[1:-1, 1:-1, 1:-1] = False
    return windows.reshape(-1, *around.shape)[:, around]
