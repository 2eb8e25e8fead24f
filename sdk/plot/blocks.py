"""An animation of gridnet's architecture: blocks update alone beside stale shells, then join.

For any grid M x N x K and block. It follows a mark on the input through the weights, with the rules of the kernels: a
cell reads its 3 x 3 x 3 neighbourhood, a block's shell is a copy from the start of the outer step. LayerNorm, whose
mean every cell shares, is left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sdk.errors import InputError
from sdk.plot.files import save_gif
from sdk.plot.style import INK, LINE, ORANGE, PALE, QUIET, RED, SKY, styled
from sdk.validation import check_positive

CAPTION = (
    "Block-local updates: in every outer step the grid is cut into blocks, each with a shell of copies of its "
    "neighbours' border cells. In the inner steps a block updates its own cells alone while the shell stays stale; "
    "then the blocks join. Colours follow a mark on a quarter of the input face: within a block it advances one cell "
    "per inner step, and into the next block only after the next cut. Left: the whole grid. Right: a section."
)
LARGEST = 512_000
"""Cells of a grid, at most."""
_MOMENTS = 200  # frames, at most
_FRAME_MS, _JOINED_MS, _LAST_MS = 600, 1000, 2500
_GAP = 0.9  # between the shells of two blocks, in cells
_SHELL = 0.62  # the side of a shell's cell
_LEAN, _RISE = 0.5, 0.4  # of a cell's depth, in oblique projection
Bools = NDArray[np.bool_]


class Moment(NamedTuple):
    """One frame."""

    outer: int
    """The outer step, from 1; 0 before the first."""
    inner: int
    """Inner steps done in this outer step."""
    cells: Bools
    """``[M, N, K]``: the cells that the mark has reached."""
    fresh: Bools
    """``[M, N, K]``: those that it has reached in this inner step."""
    shells: Bools | None
    """``[M/b, N/b, K/b, b + 2, b + 2, b + 2]``: where the mark is in each block's copy; None while blocks are joined.
    """


def animate_blocks(path: Path, grid: Sequence[int], block: int, inner_steps: int = 1, outer_steps: int = 2) -> None:
    """Write the animation as GIF. Raises InputError for a grid that cannot be cut into such blocks."""
    shown = moments(grid, block, inner_steps, outer_steps)
    durations = [_JOINED_MS if moment.shells is None else _FRAME_MS for moment in shown]
    durations[-1] = _LAST_MS
    save_gif(_frames(shown, block, inner_steps, outer_steps), durations, path)


def moments(grid: Sequence[int], block: int, inner_steps: int, outer_steps: int) -> list[Moment]:
    """Follow the mark: one moment at the start, one per cut, inner step and join. Raises InputError."""
    shape = _check(grid, block, inner_steps, outer_steps)
    cells = np.zeros(shape, bool)
    cells[: (shape[0] + 1) // 2, : (shape[1] + 1) // 2, 0] = True
    found = [Moment(0, 0, cells, cells, None)]
    for outer in range(1, outer_steps + 1):
        tiles = _tiles(cells, block)
        found.append(Moment(outer, 0, cells, np.zeros_like(cells), tiles))
        for inner in range(1, inner_steps + 1):
            tiles = tiles.copy()
            tiles[..., 1:-1, 1:-1, 1:-1] = _neighbours(tiles)
            after = _joined(tiles)
            found.append(Moment(outer, inner, after, after & ~cells, tiles))
            cells = after
        found.append(Moment(outer, inner_steps, cells, np.zeros_like(cells), None))
    return found


def _check(grid: Sequence[int], block: int, inner_steps: int, outer_steps: int) -> tuple[int, ...]:
    if len(grid) != 3:
        raise InputError(f"grid: found {len(grid)} sides, expected three, M, N and K")
    shape = tuple(check_positive(side, "grid: a side") for side in grid)
    block = check_positive(block, "block")
    check_positive(inner_steps, "inner_steps")
    check_positive(outer_steps, "outer_steps")
    if any(side % block for side in shape):
        raise InputError(f"block: found {block}, expected a divisor of every side of the grid {list(shape)}")
    if np.prod(shape) > LARGEST:
        raise InputError(f"grid: found {np.prod(shape):,} cells, allowed at most {LARGEST:,} in an animation")
    frames = 1 + outer_steps * (inner_steps + 2)
    if frames > _MOMENTS:
        raise InputError(
            f"outer_steps: found {outer_steps} with {inner_steps} inner steps, {frames} frames, allowed at most "
            f"{_MOMENTS}; take fewer steps"
        )
    return shape


def _tiles(cells: Bools, block: int) -> Bools:
    """Cut ``[M, N, K]`` into blocks with a shell of one cell, False outside the grid."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(cells, 1), (block + 2,) * 3)
    return np.asarray(windows[::block, ::block, ::block])


def _neighbours(tiles: Bools) -> Bools:
    """Return for each inner cell whether the mark is anywhere in its 3 x 3 x 3 neighbourhood."""
    for axis in (-3, -2, -1):
        size = tiles.shape[axis] - 2
        parts = [np.take(tiles, range(start, start + size), axis) for start in range(3)]
        tiles = np.asarray(parts[0] | parts[1] | parts[2])
    return tiles


def _joined(tiles: Bools) -> Bools:
    inner = tiles[..., 1:-1, 1:-1, 1:-1]
    m, n, k, block = *inner.shape[:3], inner.shape[-1]
    cells: Bools = inner.transpose(0, 3, 1, 4, 2, 5).reshape(m * block, n * block, k * block)
    return cells


def _frames(shown: Sequence[Moment], block: int, inner_steps: int, outer_steps: int) -> Iterator[Figure]:
    shape = shown[0].cells.shape
    for moment in shown:
        with styled():
            figure = Figure(figsize=(7.5, 3.8))
            solid, section = figure.add_axes((0.01, 0.14, 0.44, 0.7)), figure.add_axes((0.51, 0.14, 0.47, 0.7))
            _draw_solid(solid, moment, block)
            _draw_section(section, moment, block)
            figure.text(0.5, 0.955, _title(moment, inner_steps, outer_steps), ha="center", va="center", fontsize=10,
                        weight="bold")  # fmt: skip
            sizes = " x ".join(map(str, shape))
            figure.text(0.23, 0.885, f"grid {sizes}, blocks of {block} x {block} x {block}", ha="center", fontsize=8)
            figure.text(0.745, 0.885, f"section at n = {_section(shape)}", ha="center", fontsize=8)
            figure.legend(handles=_legend(), loc="lower center", ncols=3, frameon=False, fontsize=7, handlelength=1.2)
        yield figure


def _title(moment: Moment, inner_steps: int, outer_steps: int) -> str:
    if not moment.outer:
        return "The input carries a mark"
    outer = f"outer step {moment.outer} of {outer_steps}"
    if moment.shells is None:
        return f"{outer}: blocks join, LayerNorm over the whole grid"
    if not moment.inner:
        return f"{outer}: cut into blocks, shells copy the neighbours"
    return f"{outer}, inner step {moment.inner} of {inner_steps}: blocks update alone, shells are stale"


def _legend() -> list[Patch]:
    return [
        Patch(facecolor=ORANGE, edgecolor=LINE, label="mark arrived in this step"),
        Patch(facecolor=SKY, edgecolor=LINE, label="mark arrived before"),
        Patch(facecolor=PALE, edgecolor=LINE, label="mark has not arrived"),
        Patch(facecolor=SKY, edgecolor=QUIET, hatch="////", label="shell: copy with the mark"),
        Patch(facecolor="white", edgecolor=QUIET, hatch="////", label="shell: copy without it"),
        Patch(facecolor="white", edgecolor=RED, linewidth=1.5, label="stale: its cell has the mark by now"),
    ]


def _colours(cells: Bools, fresh: Bools) -> list[str]:
    chosen = np.where(fresh, ORANGE, np.where(cells, SKY, PALE))
    return [str(colour) for colour in chosen.ravel()]


def _section(shape: Sequence[int]) -> int:
    """Return the n at which the section is, within the marked quarter."""
    return (shape[1] + 1) // 2 // 2


def _draw_section(axes: Axes, moment: Moment, block: int) -> None:
    """Draw the plane of m, downwards, and k, to the right: cells, and the shells of blocks that are cut."""
    rows, _, columns = moment.cells.shape
    at = _section(moment.cells.shape)
    cut = block + 2 + _GAP
    height, width = rows // block * cut, columns // block * cut
    cells, fresh = moment.cells[:, at], moment.fresh[:, at]
    m, k = np.indices((rows, columns))
    if moment.shells is None:
        y, x = m + (height - rows) / 2, k + (width - columns) / 2
    else:
        y, x = m + m // block * (2 + _GAP) + 1 + _GAP / 2, k + k // block * (2 + _GAP) + 1 + _GAP / 2
        _draw_shells(axes, moment, block)
    squares = list(_squares(x.ravel(), y.ravel(), 1.0))
    edge = 0.5 if max(rows, columns) <= 32 else 0.1
    axes.add_collection(
        PolyCollection(squares, facecolors=_colours(cells, fresh), edgecolors=LINE, linewidths=edge, zorder=2)
    )
    axes.set(xlim=(-0.2, width + 0.2), ylim=(height + 0.2, -0.2), xticks=[], yticks=[], aspect="equal")
    axes.set_xlabel("k: from the input to the answer", fontsize=7)
    axes.set_ylabel("m", fontsize=7, rotation=0)
    axes.spines[:].set_visible(False)


def _draw_shells(axes: Axes, moment: Moment, block: int) -> None:
    assert moment.shells is not None
    at = _section(moment.cells.shape)
    tiles = moment.shells[:, at // block, :, :, at % block + 1, :]
    now = _tiles(moment.cells, block)[:, at // block, :, :, at % block + 1, :]
    inside = _tiles(np.ones_like(moment.cells), block)[:, at // block, :, :, at % block + 1, :].copy()
    inside[..., 1:-1, 1:-1] = False
    i, j, row, column = np.nonzero(inside)
    x, y = (p * (block + 2 + _GAP) + _GAP / 2 + q + (1 - _SHELL) / 2 for p, q in ((j, column), (i, row)))
    squares, copied, stale = _squares(x, y, _SHELL), tiles[inside], now[inside] & ~tiles[inside]
    for having, colour in ((False, "white"), (True, SKY)):
        mine = list(squares[(copied == having) & ~stale])
        axes.add_collection(
            PolyCollection(mine, facecolors=colour, edgecolors=QUIET, linewidths=0.3, hatch="//////", alpha=0.75)
        )
    late = list(squares[stale])
    axes.add_collection(PolyCollection(late, facecolors="white", edgecolors=RED, linewidths=1.1, zorder=3))


def _squares(x: NDArray[np.floating], y: NDArray[np.floating], side: float) -> NDArray[np.floating]:
    """Return squares ``[n, 4, 2]`` by their lower corner."""
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)])
    return np.asarray(np.stack([x, y], -1)[:, None] + corners)


def _draw_solid(axes: Axes, moment: Moment, block: int) -> None:
    """Draw the grid from outside: the faces of its blocks towards n = 0, m = 0 and the last k."""
    m, n, k = (side // block for side in moment.cells.shape)
    gap = 0.0 if moment.shells is None else 0.35 * block
    squares, colours, shades = [], [], []
    for j in reversed(range(n)):  # the farthest first
        for i in reversed(range(m)):
            for last in range(k):
                place = tuple(slice(p * block, (p + 1) * block) for p in (i, j, last))
                polygons = _faces(np.array([i, j, last]) * (block + gap), block)
                for (index, shade), corners in zip(_SHOWN_FACES, polygons, strict=True):
                    squares.append(corners)
                    colours += _colours(moment.cells[place][index], moment.fresh[place][index])
                    shades += [shade] * len(corners)
    shaded = to_rgba_array(colours)[:, :3] * np.array(shades)[:, None]
    edge = 0.25 if max(moment.cells.shape) <= 32 else 0.05
    axes.add_collection(
        PolyCollection(list(np.concatenate(squares)), facecolors=shaded, edgecolors=LINE, linewidths=edge)
    )
    gaps = 0.35 * block
    high, deep, wide = (s + (c - 1) * gaps for s, c in zip(moment.cells.shape, (m, n, k), strict=True))
    axes.set(xlim=(-1, wide + _LEAN * deep + 1), ylim=(-high - 1, _RISE * deep + 1), aspect="equal")
    axes.axis("off")
    axes.text(0, -high - 0.5, "input at k = 0", ha="left", va="top", fontsize=7, color=INK)


_SHOWN_FACES: tuple[tuple[Any, float], ...] = ((np.s_[:, 0, :], 1.0), (np.s_[0, :, :], 1.0), (np.s_[:, :, -1], 0.88))
"""The cells on the faces of a block that show, front, top and right, and the brightness of the face."""


def _faces(origin: NDArray[np.floating], block: int) -> list[NDArray[np.floating]]:
    """Return the cells' outlines ``[block * block, 4, 2]`` on the three faces of a block that show."""
    u, v = (index.ravel() for index in np.indices((block, block)))
    low, end = np.zeros_like(u), np.full_like(u, block)
    front = [(u + a, low, v + b) for a, b in _AROUND]
    top = [(low, u + a, v + b) for a, b in _AROUND]
    right = [(u + a, v + b, end) for a, b in _AROUND]
    return [np.stack([_projected(origin, *corner) for corner in face], 1) for face in (front, top, right)]


_AROUND = ((0, 0), (0, 1), (1, 1), (1, 0))


def _projected(origin: NDArray[np.floating], m: object, n: object, k: object) -> NDArray[np.floating]:
    down, deep, along = (np.asarray(value) + start for value, start in zip((m, n, k), origin, strict=True))
    return np.stack([along + _LEAN * deep, -down + _RISE * deep], -1)
