"""The weighted sums of gridnet's ONNX graph: the groups of cells, and the bands of weights."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from tests.support.gridnet import build
from zoo.data.task import Task
from zoo.families.gridnet.onnx_bands import WeightedSums, group_cells, step_weights
from zoo.families.onnx_builder import GraphBuilder


@pytest.mark.parametrize(
    ("grid", "rows", "run", "inputs"),
    [
        ((6, 6, 4), 2, 4, 3 * 4 * 4),
        ((6, 5, 4), 1, 4, 3 * 3 * 4),
        ((6, 6, 16), 1, 8, 3 * 3 * 10),
        ((4, 4, 11), 1, 1, 3 * 3 * 3),
        ((4, 4, 1), 2, 1, 3 * 4 * 1),
    ],
)
def test_a_group_is_the_longest_run_up_to_eight_and_two_rows_if_it_spans_k(
    grid: tuple[int, int, int], rows: int, run: int, inputs: int
) -> None:
    groups = group_cells(grid)
    assert (groups.rows, groups.run, groups.inputs) == (rows, run, inputs)
    assert np.prod(groups.counts) * rows * run == groups.cells == np.prod(grid)


@pytest.mark.parametrize("grid", [(4, 6, 4), (4, 5, 4), (3, 2, 16), (2, 4, 11)], ids=str)
@pytest.mark.parametrize("gated", [False, True])
def test_the_sums_are_those_over_the_27_neighbours(grid: tuple[int, int, int], gated: bool) -> None:
    module = build(Task((1, 2, 2), 3), grid=grid, block=1, gated=gated)
    g = GraphBuilder()
    sums = WeightedSums(g, group_cells(grid), channels=2 if gated else 1)
    weights = step_weights(g, module, sums, 0)
    cells = int(np.prod(grid))
    total = sums.apply("h", weights.full)
    shape = (2, cells, "batch") if gated else (cells, "batch")
    model = g.function("sums", {"h": (cells, "batch")}, {"sums": (total, shape)})
    h = torch.randn(3, *grid)
    [found] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"h": h.flatten(1).T.numpy()})
    padded = torch.nn.functional.pad(h, (1,) * 6)
    m, n, k = grid
    neighbours = [padded[:, z : z + m, y : y + n, x : x + k] for z in range(3) for y in range(3) for x in range(3)]
    weight = module.weight.detach()[0] if gated else module.weight.detach()[0].unsqueeze(1)
    expected = torch.einsum("bimnk,icmnk->cmnkb", torch.stack(neighbours, 1), weight).reshape(-1, cells, 3)
    np.testing.assert_allclose(found.reshape(-1, cells, 3), expected, atol=1e-5)
