"""Gradients of missing edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.support.snapshots import full, lay
from zoo.families.snapshots.gradient import missing_gradient
from zoo.families.snapshots.model import SnapshotNet


def test_the_missing_gradient_is_that_of_an_edge_of_weight_zero(build: Callable[..., SnapshotNet]) -> None:
    net = full(build, routing={"reciprocal": 0}, sweeps=1, max_density=0.9)
    x, labels = torch.randn(9, 1, 2, 3), torch.randint(0, 4, (9,))
    gradient = missing_gradient(net, x, labels)
    source, target, _ = net.laid()
    present = set(zip(source.tolist(), target.tolist(), strict=True))
    missing = [(s, t) for s in range(15) for t in range(6, 19) if net.layout.layer_of[s] < net.layout.layer_of[t]]
    for pair in [pair for pair in missing if pair not in present][::4][: net.room]:
        lay(net, (*pair, 0.0))
        loss = torch.nn.functional.cross_entropy(net(x), labels)
        (wanted,) = torch.autograd.grad(loss, net.weight)
        assert gradient[pair] == pytest.approx(float(wanted[int(net.edges) - 1]), abs=1e-6)
