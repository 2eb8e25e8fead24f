"""Baselines of the probe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.families.snapshots import baselines
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout


@pytest.mark.parametrize("edges", [50, 300])
def test_masked_and_pruned_networks_have_the_requested_edges_after_training(edges: int) -> None:
    layout, config = Layout((20, 16, 8, 4)), SnapshotsConfig()
    batch = (torch.randn(32, 20), torch.randint(0, 4, (32,)))
    for make in (baselines.mask_randomly, baselines.prune_smallest):
        torch.manual_seed(0)
        network = baselines.dense(layout, config)
        make(network, edges)
        baselines.fit(network, lambda epoch: [batch] * 3, 3, 2)
        left = sum(int((layer.weight != 0).sum()) for layer in network.modules() if isinstance(layer, nn.Linear))
        assert left == pytest.approx(edges, abs=1)
