"""The four claims: what is measured, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.data.task import Task
from zoo.families.normnet import FAMILY
from zoo.families.normnet.claims import (
    FRACTIONS,
    Budget,
    Pupil,
    Samples,
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
from zoo.families.normnet.probe import Measured, Row, probe, prunable, verdict
from zoo.families.probing import Findings, ProbeContext

BUDGET = Budget(
    seeds=(0, 1), samples=1000, held=200, batch=32, steps=40, task_steps=20, check_every=10,
    trial_steps=10, trial_seeds=1, rates=(3e-3, 3e-2), factors=(1.0,),
)  # fmt: skip
CONFIG = NormnetConfig(hidden=(32,), hidden_scale=3)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ProbeContext:
    data = load_data(DigitsConfig(name="digits"))
    torch.manual_seed(0)
    module = Normnet(CONFIG, data.task).eval()
    return ProbeContext(module, CONFIG, data.task, data, 0, [], tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def findings(context: ProbeContext) -> Findings:
    assert FAMILY.probe is not None
    return probe(context, BUDGET)


def test_every_claim_has_numbers_for_the_network_and_both_controls(findings: Findings) -> None:
    for name in ("norm", "linear W/n", "biased"):
        keys = findings.metrics[name]
        assert {key[0] for key in keys if key[1] == ":"} == {"1", "2", "3", "4"}
        assert 0.3 < keys["base: test accuracy, unpruned"] <= 1
    rows = [line for line in findings.text.splitlines() if line.startswith("| ")]
    assert len(rows) == 13
    assert all(line.count("|") == 7 for line in rows)


def test_every_figure_is_a_picture_with_a_caption(findings: Findings, context: ProbeContext) -> None:
    assert set(findings.figures) == {path.name for path in context.figures.iterdir()}
    for name, caption in findings.figures.items():
        assert caption
        assert min(Image.open(context.figures / name).size) > 200


def test_the_probe_leaves_the_model_and_the_random_state_alone(context: ProbeContext, findings: Findings) -> None:
    torch.manual_seed(0)
    fresh = Normnet(CONFIG, context.task)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(context.module.state_dict()[name], tensor)
    torch.manual_seed(3)
    Pupil(CONFIG, context.task, 1e-2, 0)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_the_controls_differ_in_their_layers_alone() -> None:
    config = NormnetConfig(hidden=(7, 7), convolutions=({"channels": 2, "scale": 5},), sigma=0.5)  # type: ignore[arg-type]
    made = {name: Normnet(twin, Task((1, 8, 8), 4)) for name, twin in twins(config).items()}
    shapes = {name: [tuple(layer.weight.shape) for layer in m.layers] for name, m in made.items()}
    assert shapes["norm"] == shapes["linear W/n"] == shapes["biased"]
    kinds = {name: {layer.settings.kind for layer in (*m.convolutions, *m.layers)} for name, m in made.items()}
    assert kinds == {"norm": {"norm"}, "linear W/n": {"linear"}, "biased": {"plain"}}


def test_pruning_removes_the_weakest_and_gives_the_weights_back() -> None:
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


@given(st.lists(st.floats(0, 1), min_size=len(FRACTIONS), max_size=len(FRACTIONS)))
def test_what_is_prunable_costs_at_most_a_point_all_the_way(curve: list[float]) -> None:
    last = FRACTIONS.index(prunable(curve))
    assert all(accuracy >= curve[0] - 0.01 for accuracy in curve[: last + 1])
    assert last == len(FRACTIONS) - 1 or curve[last + 1] < curve[0] - 0.01


@pytest.mark.parametrize(
    ("theirs", "higher", "said"),
    [
        ([0.5, 0.6], True, "ahead of"),
        ([0.5, 0.6], False, "behind"),
        ([0.8, 0.95], True, "level with"),
        ([0.95, 0.99], True, "behind"),
        ([0.95, 0.99], False, "ahead of"),
    ],
)
def test_ahead_or_behind_is_said_where_the_seeds_do_not_overlap(theirs: list[float], higher: bool, said: str) -> None:
    numbers = {0.0: [0.7, 0.9], 1.0: theirs}
    row = Row("1", "", lambda measured: numbers[measured.rate], higher, str)
    assert verdict(row, {"norm": Measured(0.0, 1.0), "control": Measured(1.0, 1.0)}) == f"{said} control"


def test_a_is_forgotten_over_b_and_learned_again(context: ProbeContext) -> None:
    budget = Budget(samples=1000, held=200, batch=32, task_steps=80, check_every=10)
    config = twins(CONFIG)["biased"]
    sequel = measure_sequel(config, take_parts(context.data, budget), 3e-3, 0, budget)
    assert [len(curve) for curve in sequel.curves.values()] == [24, 24]
    a, b = sequel.curves["a"], sequel.curves["b"]
    assert a[7] > 0.8 > a[15]
    assert b[7] == 0
    assert b[15] > 0.8
    assert a[23] > 0.8
    assert sequel.left_among_a >= sequel.left_of_a


def test_permuted_tasks_hold_the_same_values_in_one_other_order() -> None:
    samples = Samples(torch.randn(4, 1, 3, 3), torch.arange(4))
    other = samples.permuted(1)
    assert torch.equal(samples.permuted(0).inputs, samples.inputs)
    assert not torch.equal(other.inputs, samples.inputs)
    assert torch.equal(other.inputs.flatten(1).sort().values, samples.inputs.flatten(1).sort().values)
    order = [int((samples.inputs[0].flatten() == value).nonzero()) for value in other.inputs[0].flatten()]
    assert torch.equal(other.inputs.flatten(1), samples.inputs.flatten(1)[:, order])


def test_rate_and_scale_are_chosen_on_validation(context: ProbeContext) -> None:
    budget = replace(BUDGET, trial_steps=20, rates=(1e-9, 3e-2), factors=(1e-6, 1.0))
    chosen, rate = choose_settings(CONFIG, take_parts(context.data, budget), budget)
    assert rate == 3e-2
    assert chosen == CONFIG


def test_figures_can_be_drawn_for_one_seed(context: ProbeContext, tmp_path: Path) -> None:
    one = replace(BUDGET, seeds=(0,), steps=5, task_steps=10, rates=(1e-2,))
    alone = ProbeContext(context.module, CONFIG, context.task, context.data, 0, [], tmp_path)
    assert "±" not in probe(alone, one).text
