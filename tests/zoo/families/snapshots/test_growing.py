"""A growing network in a loop of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import sdk
import zoo
from zoo.layers import GrowingNetwork

RULES = {
    "max_density": 0.9,
    "sweeps": 1,
    "trigger": {"every": 1, "window": 2},
    "extrema": {"ends": "all", "share": 0.3},
    "routing": {"reciprocal": 0, "complete": True, "choice": "gradient"},
    "economy": {"price": 10},
    "stabilisation": 2,
    "phases": [{"name": "all", "until": 6, "structures": 12, "snapshots": 3}],
}


def batches(seed: int, count: int = 5) -> list[tuple[Tensor, Tensor]]:
    noise = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(64, 2, 3, generator=noise) for _ in range(count)]
    return [(x, (x[:, 0, 0] > 0).long() + (x[:, 0, 1] > 0).long()) for x in inputs]


def small(**rules: object) -> GrowingNetwork:
    torch.manual_seed(0)
    return GrowingNetwork(6, [12, 8], 3, density=0.03, **{**RULES, **rules})


def test_five_lines_grow_a_network_that_the_sdk_loads(tmp_path: Path) -> None:
    network = small()
    start = network.connectivity()
    assert start.share == start.connections / (6 * 12 + 12 * 8 + 8 * 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    reports = [network.train_epoch(batches(epoch), optimizer, validation=batches(99)) for epoch in range(6)]
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert sum(report.added for report in reports) == network.connectivity().connections - start.connections > 0
    assert reports[-1].loss < reports[0].loss
    assert [report.finished for report in reports] == [False] * 5 + [True]
    assert sum(network.connectivity().layers) == reports[-1].connections
    network.finish(batches(99))
    inputs = batches(7, 1)[0][0]
    with torch.no_grad():
        expected = network.eval()(inputs).numpy()
    folder = zoo.save(network.net, tmp_path / "grown", labels=["0", "1", "2"], input=(6,))
    found = sdk.load(folder).logits(inputs.flatten(1).numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_density_of_a_ten_thousandth_is_the_originals_start() -> None:
    assert GrowingNetwork(784, (256, 128), 10).connectivity().connections == 24


def test_the_loss_may_be_ones_own() -> None:
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    report = network.train_epoch(batches(0), optimizer, criterion=lambda logits, labels: logits.square().mean())
    with torch.no_grad():
        assert report.loss < 10
    assert network.net.weight.grad is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"economy": {"prize": 1}}, "^economy.prize: Extra inputs"),
        ({"max_density": 1e-3}, "^start.density 0.03 exceeds"),
    ],
)
def test_rules_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_an_epoch_needs_a_batch() -> None:
    network = small()
    with pytest.raises(ValueError, match="batches: found none"):
        network.train_epoch([], torch.optim.Adam(network.parameters()))


def test_only_the_network_itself_is_saved(tmp_path: Path) -> None:
    with pytest.raises(sdk.CellzooError, match=r"save its network, network\.net"):
        zoo.save(small(), tmp_path / "mine", labels=list("abc"), input=(6,))
