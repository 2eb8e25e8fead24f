"""The measurements of the four claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.normnet import BUDGET, CONFIG
from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.data.split import Data
from zoo.data.task import Task
from zoo.families.normnet.claims import (
    FRACTIONS,
    Budget,
    choose_settings,
    measure_sequel,
    near_zero,
    pruning_curve,
    take_parts,
    twins,
)
from zoo.families.normnet.config import LayerSettings, NormnetConfig
from zoo.families.normnet.layers import NormLayer
from zoo.families.normnet.model import Normnet
from zoo.families.normnet.trainee import Samples


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(DigitsConfig(name="digits"))


def test_the_controls_differ_only_in_their_layers() -> None:
    config = NormnetConfig(hidden=(7, 7), convolutions=({"channels": 2, "scale": 5},), sigma=0.5)  # type: ignore[arg-type]
    made = {name: Normnet(twin, Task((1, 8, 8), 4)) for name, twin in twins(config).items()}
    shapes = {name: [tuple(layer.weight.shape) for layer in m.layers] for name, m in made.items()}
    assert shapes["norm"] == shapes["linear W/n"] == shapes["biased"]
    kinds = {name: {layer.settings.kind for layer in (*m.convolutions, *m.layers)} for name, m in made.items()}
    assert kinds == {"norm": {"norm"}, "linear W/n": {"linear"}, "biased": {"plain"}}


def test_pruning_removes_the_weakest_weights_and_restores_them() -> None:
    layer = NormLayer(10, 2, LayerSettings())
    layer.weight.data = torch.stack([torch.tensor([1.4, *[0.5] * 9]), torch.tensor([-1.4, *[0.5] * 9])])
    before = layer.weight.clone()
    inputs = torch.cat([torch.eye(10)[:1], -torch.eye(10)[:1]])
    curve = pruning_curve(layer, Samples(inputs, torch.tensor([0, 1])))
    assert len(curve) == len(FRACTIONS)
    assert set(curve[: FRACTIONS.index(0.9) + 1]) == {1.0}
    assert torch.equal(layer.weight, before)
    assert near_zero(layer) == 0
    layer.weight.data[:, 1:] = 0.01
    assert near_zero(layer) == 0.9


def test_a_is_forgotten_during_b_and_learned_again(data: Data) -> None:
    budget = Budget(samples=1000, held=200, batch=32, task_steps=80, check_every=10)
    config = twins(CONFIG)["biased"]
    sequel = measure_sequel(config, take_parts(data, budget), 3e-3, 0, budget)
    assert sequel.steps_a is not None
    assert sequel.steps_b is not None
    assert sequel.steps_a_again is not None
    assert all(steps % 10 == 0 for steps in (sequel.steps_a, sequel.steps_b, sequel.steps_a_again))
    assert sequel.left_of_a < 0.2
    assert sequel.left_among_a >= sequel.left_of_a


def test_rate_and_scale_are_chosen_on_validation(data: Data) -> None:
    budget = replace(BUDGET, trial_steps=20, rates=(1e-9, 3e-2), factors=(1e-6, 1.0))
    chosen, rate = choose_settings(CONFIG, take_parts(data, budget), budget)
    assert rate == 3e-2
    assert chosen == CONFIG
