"""The boxes of cells of gridnet's ONNX graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from zoo.families.gridnet.onnx_groups import Groups, group_cells
from zoo.families.onnx_builder import GraphBuilder

GRIDS = [(32, 32, 8), (8, 8, 64), (12, 12, 4), (4, 4, 11), (7, 5, 3), (13, 17, 19), (4, 4, 1), (1, 1, 1)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_boxes_of_any_grid_cover_it_and_hold_at_most_256_cells(grid: tuple[int, int, int], channels: int) -> None:
    groups = group_cells(grid, channels)
    assert sorted(groups.axes) == [0, 1, 2]
    assert groups.count * groups.outputs == groups.cells == np.prod(grid)
    assert groups.outputs <= 256
    assert tuple(np.multiply(groups.counts, groups.box)) == groups.shape


@pytest.mark.parametrize(
    ("grid", "axes", "box"),
    [
        ((32, 32, 8), (0, 1, 2), (2, 2, 8)),
        ((16, 16, 16), (0, 1, 2), (1, 2, 16)),
        ((8, 8, 64), (0, 2, 1), (2, 2, 8)),  # a run along N, which it spans, needs no ends
        ((64, 64, 64), (0, 1, 2), (2, 2, 8)),
        ((12, 12, 4), (0, 1, 2), (2, 4, 4)),
    ],
)
def test_shipped_grids_have_boxes_of_two_registers_of_cells(
    grid: tuple[int, int, int], axes: tuple[int, int, int], box: tuple[int, int, int]
) -> None:
    assert group_cells(grid) == Groups(grid, axes, box)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 2, 0)], ids=str)
def test_the_order_of_the_boxes_is_reversible_and_puts_the_cells_of_a_box_together(axes: tuple[int, int, int]) -> None:
    grid = (4, 6, 8)
    groups = Groups(grid, axes, (2, 1, 2))
    g = GraphBuilder()
    there = groups.grouped(g, "x")
    model = g.function("order", {"x": ("n", 192)}, {"there": (there, ("n", 192)),
                                                  "back": (groups.natural(g, there), ("n", 192))})  # fmt: skip
    x = np.arange(2 * 192, dtype=np.float32).reshape(2, 192)
    grouped, back = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(back, x)
    places = np.stack(np.unravel_index(grouped[0].astype(int), grid), -1)[:, list(axes)].reshape(-1, 4, 3)
    np.testing.assert_array_equal(np.ptp(places, axis=1), np.tile([1, 0, 1], (48, 1)))


def test_a_box_reads_the_runs_around_it() -> None:
    groups = Groups((4, 4, 8), (0, 1, 2), (2, 2, 8))
    first = groups.neighbours().reshape(groups.count, groups.runs)[0]
    # Runs are numbered in the order of the boxes, four to a box; beyond the face, the run on it stands in.
    np.testing.assert_array_equal(first.reshape(4, 4)[1:3, 1:3], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(first.reshape(4, 4)[1, 3], 4)
    np.testing.assert_array_equal(first.reshape(4, 4)[3, 1], 8)
