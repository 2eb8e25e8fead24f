"""What the probe of the Meta-NCA family measures beside the rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.config.data import IrisConfig
from zoo.data import load_data
from zoo.data.split import Data
from zoo.families.nca.baselines import train_by_adam, usual_learners
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import read_logits, run_networks, start_weights, wire
from zoo.families.nca.probe import STARTS, Trial
from zoo.families.nca.splits import measure_splits, train_rule
from zoo.families.nca.tasks import stack_inputs
from zoo.families.probing import ProbeContext
from zoo.recipe import load_recipe


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(IrisConfig(name="iris"))


def context_of(data: Data, figures: Path, **options: Any) -> ProbeContext:
    torch.manual_seed(0)
    config = NcaConfig.model_validate({"epochs": 3, **options})
    module, train = MetaNca(config, data.task).eval(), load_recipe("nca-iris", ["train.steps=2"]).train
    return ProbeContext(module, config, data.task, data, 0, [], figures, train)


def test_adam_trains_every_network_as_it_would_alone_and_leaves_padding_at_zero(data: Data) -> None:
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
    shown = stack_inputs([inputs], wiring, False)
    trained = train_by_adam(start_weights(wiring, "zero"), wiring, shown, labels)
    found = read_logits(run_networks(trained, shown)[1], wiring)[0].argmax(-1)
    assert float((found == labels).float().mean()) > 0.9


def test_usual_learners_do_well_on_the_test_part(data: Data, tmp_path: Path) -> None:
    found = usual_learners(context_of(data, tmp_path), 2)
    assert found["logistic"]["mean"] > 0.9
    assert found["logistic"]["std"] == 0
    assert found["mlp"]["mean"] > 0.9


def test_a_trial_asks_other_weights_without_losing_its_own(data: Data, tmp_path: Path) -> None:
    context = context_of(data, tmp_path)
    trial = Trial(context, context.module, [4, 3])  # type: ignore[arg-type]
    before = trial.state.clone()
    silent = trial.accuracies(torch.zeros_like(trial.state[..., 0]))
    torch.testing.assert_close(silent, torch.full((STARTS,), 1 / 3))
    assert torch.equal(trial.state, before)


@pytest.mark.parametrize("layers", [1, 3])
def test_each_split_trains_a_rule_of_its_own(data: Data, tmp_path: Path, layers: int) -> None:
    context = context_of(
        data, tmp_path, layers=layers, hidden=2, meta={"layers": [1, 2, 3], "hidden": [2, 5], "segments": 2}
    )
    before = {name: value.clone() for name, value in context.module.state_dict().items()}
    found = measure_splits(context, splits=2)
    assert set(found.metrics["splits"]) == {"rule", "logistic", "mlp"}
    assert found.metrics["splits"]["logistic"]["mean"] > 0.9
    assert "Over 2 splits" in found.text
    for name, value in context.module.state_dict().items():
        assert torch.equal(value, before[name])
    again = measure_splits(context, splits=2)
    assert again.metrics == found.metrics


def test_a_rule_of_a_split_follows_from_its_samples_and_seed_alone(data: Data, tmp_path: Path) -> None:
    context = context_of(data, tmp_path, meta={"segments": 2, "damage": 0.5})
    inputs, labels = data.train.everything()

    def weights(flowers: int, seed: int) -> torch.Tensor:
        return train_rule(context, (inputs[:flowers], labels[:flowers]), seed).rule.flat_parameters()

    state = torch.get_rng_state()
    first = weights(90, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(17)
    assert torch.equal(weights(90, seed=3), first)
    assert not torch.equal(weights(90, seed=4), first)
    assert not torch.equal(weights(60, seed=3), first)


def test_splits_need_to_know_how_the_model_was_trained(data: Data, tmp_path: Path) -> None:
    context = replace(context_of(data, tmp_path), train=None)
    with pytest.raises(ValueError, match="the probe's context lacks the recipe's train section"):
        measure_splits(context, splits=1)
