"""The wiring of a network."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.snapshots import lay
from zoo.families.snapshots.model import SnapshotNet


def test_the_cost_counts_an_edge_once_per_sweep_that_reads_it(build: Callable[..., SnapshotNet]) -> None:
    net = build(sweeps=3)
    assert net.wiring(int(net.edges)).edges == 3
    lay(net, (12, 7, 1.0))  # leads back: read in the second and third sweep
    assert net.wiring(int(net.edges)).edges == 3 * 3 + 2
