"""Baselines of the Meta-NCA probe."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.support.nca import context_of
from zoo.data.split import Data
from zoo.families.nca.baselines import measure_baselines, train_by_adam
from zoo.families.nca.networks import read_logits, run_networks
from zoo.families.nca.population import start_weights, wire
from zoo.families.nca.tasks import stack_inputs


def test_adam_trains_networks_independently_and_leaves_padding_at_zero(data: Data) -> None:
    inputs, labels = data.train.everything()
    architectures = [[4, 3], [4, 5, 3], [4, 2, 2, 3]]
    wiring = wire(architectures)
    weights = start_weights(wiring, "xavier", torch.Generator().manual_seed(0))
    together = train_by_adam(weights, wiring, stack_inputs([inputs] * 3, wiring, False), labels, steps=5)
    assert not together[~wiring.mask].any()
    assert not torch.equal(together, weights)
    for number, units in enumerate(architectures):
        alone = wire([units])
        layers, n, m = alone.mask.shape[1:]
        start = weights[number : number + 1, :layers, :n, :m]
        found = train_by_adam(start, alone, stack_inputs([inputs], alone, False), labels, steps=5)
        torch.testing.assert_close(found, together[number : number + 1, :layers, :n, :m])


def test_adam_finds_a_linear_classifier(data: Data) -> None:
    inputs, labels = data.train.everything()
    wiring = wire([[4, 3]])
    stacked = stack_inputs([inputs], wiring, False)
    trained = train_by_adam(start_weights(wiring, "zero"), wiring, stacked, labels)
    found = read_logits(run_networks(trained, stacked)[1], wiring)[0].argmax(-1)
    assert float((found == labels).float().mean()) > 0.9


def test_baselines_do_well_on_the_test_part(data: Data, tmp_path: Path) -> None:
    found = measure_baselines(context_of(data, tmp_path), 2)
    assert found["logistic"]["mean"] > 0.9
    assert found["logistic"]["std"] == 0
    assert found["mlp"]["mean"] > 0.9
