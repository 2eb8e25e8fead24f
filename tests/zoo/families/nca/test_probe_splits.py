"""Rules trained for each of several data splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.nca import context_of
from zoo.data.split import Data
from zoo.families.nca.probe_splits import measure_splits, train_rule


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


def test_the_rule_of_a_split_depends_on_samples_and_seed_alone(data: Data, tmp_path: Path) -> None:
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


def test_splits_need_the_recipes_train_section(data: Data, tmp_path: Path) -> None:
    context = replace(context_of(data, tmp_path), train=None)
    with pytest.raises(ValueError, match="training a rule again needs the recipe's train section"):
        measure_splits(context, splits=1)
