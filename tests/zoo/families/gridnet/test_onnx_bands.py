"""The weighted sums of gridnet's ONNX graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from tests.support.gridnet import build
from zoo.data.task import Task
from zoo.families.gridnet.onnx_bands import WeightedSums, step_weights
from zoo.families.gridnet.onnx_groups import Groups, group_cells
from zoo.families.onnx_builder import GraphBuilder

CASES = [
    group_cells((4, 6, 4)),
    group_cells((2, 4, 11)),
    Groups((4, 5, 4), (0, 1, 2), (1, 1, 4)),
    Groups((4, 6, 16), (0, 1, 2), (2, 3, 8)),  # several runs of an axis, with ends
    Groups((4, 6, 8), (1, 2, 0), (3, 2, 2)),
    Groups((3, 2, 16), (0, 2, 1), (3, 4, 2)),
]


@pytest.mark.parametrize("groups", CASES, ids=lambda groups: f"{groups.grid}-{groups.axes}-{groups.box}")
@pytest.mark.parametrize("gated", [False, True])
def test_the_sums_are_those_over_the_27_neighbours(groups: Groups, gated: bool) -> None:
    grid = groups.grid
    module = build(Task((1, 2, 2), 3), grid=grid, block=1, gated=gated)
    g = GraphBuilder()
    sums = WeightedSums(g, groups, channels=2 if gated else 1)
    weights = step_weights(g, module, sums, 0)
    cells = groups.cells
    total = sums.apply(groups.grouped(g, "h"), weights.full)
    total = groups.natural(g, g.reshape(total, (-1, cells)))
    model = g.function("sums", {"h": ("batch", cells)}, {"sums": (total, ("rows", cells))})
    h = torch.randn(3, *grid)
    [found] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"h": h.flatten(1).numpy()})
    padded = torch.nn.functional.pad(h, (1,) * 6)
    m, n, k = grid
    neighbours = [padded[:, z : z + m, y : y + n, x : x + k] for z in range(3) for y in range(3) for x in range(3)]
    weight = module.weight.detach()[0] if gated else module.weight.detach()[0].unsqueeze(1)
    expected = torch.einsum("bimnk,icmnk->cbmnk", torch.stack(neighbours, 1), weight)
    np.testing.assert_allclose(found.reshape(-1, 3, cells), expected.flatten(2), atol=1e-5)
