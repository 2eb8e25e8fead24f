"""The statistics of blocks in gridnet's ONNX graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from zoo.families.gridnet.onnx_shells import Shells
from zoo.families.onnx_builder import GraphBuilder


@pytest.mark.parametrize(("grid", "block"), [((4, 6, 2), 2), ((3, 3, 3), 3), ((2, 3, 4), 1)], ids=str)
def test_a_block_is_standardised_together_with_its_shell(grid: tuple[int, int, int], block: int) -> None:
    cells, batch = int(np.prod(grid)), 3
    g = GraphBuilder()
    mean, spread = Shells(g, grid, block, "start").statistics("h", eps=0.5)
    shape = ("batch", cells)
    model = g.function("shells", {"start": shape, "h": shape}, {"mean": (mean, shape), "spread": (spread, shape)})
    start, h = torch.randn(batch, *grid), torch.randn(batch, *grid)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"start": start.flatten(1).numpy(), "h": h.flatten(1).numpy()})
    shells, blocks = (_windows(torch.nn.functional.pad(values, (1,) * 6), block) for values in (start, h))
    inner = slice(1, block + 1)
    shells[..., inner, inner, inner] = blocks[..., inner, inner, inner]
    expected = (shells.mean((-3, -2, -1)), shells.std((-3, -2, -1), correction=0) + 0.5)
    for values, per_block in zip(found, expected, strict=True):
        per_cell = per_block
        for axis in (1, 2, 3):
            per_cell = per_cell.repeat_interleave(block, axis)
        np.testing.assert_allclose(values, per_cell.flatten(1), atol=1e-5)


def _windows(padded: torch.Tensor, block: int) -> torch.Tensor:
    """Blocks with their shells: ``[B, M/b, N/b, K/b, b + 2, b + 2, b + 2]``, a copy."""
    size = block + 2
    return padded.unfold(1, size, block).unfold(2, size, block).unfold(3, size, block).clone()
