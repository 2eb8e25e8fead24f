"""Normnet's probe: its table, verdicts and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support.normnet import BUDGET, CONFIG
from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.families.normnet import FAMILY
from zoo.families.normnet.claims import FRACTIONS
from zoo.families.normnet.model import Normnet
from zoo.families.normnet.probe import Measured, Row, probe, prunable, verdict
from zoo.families.probing import Findings, ProbeContext


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
        assert {"1", "4"} <= {key[0] for key in keys if key[1] == ":"}
        assert len(keys["settings"]) == len(BUDGET.rates) * len(BUDGET.factors)
        learned = sum(setting["learns"] for setting in keys["settings"])
        assert keys["2, 3: settings at which A and B are learned"] == learned
        assert ("3: steps to reach A again" in keys) == (learned > 0)
        assert 0.3 < keys["base: test accuracy, unpruned"] <= 1
    rows = [line for line in findings.text.splitlines() if line.startswith("| ")]
    assert len(rows) == 14
    assert all(line.count("|") == 7 for line in rows)


def test_every_figure_is_an_image_with_a_caption(findings: Findings, context: ProbeContext) -> None:
    assert set(findings.figures) == {path.name for path in context.figures.iterdir()}
    for name, caption in findings.figures.items():
        assert caption
        assert min(Image.open(context.figures / name).size) > 200


def test_the_probe_leaves_the_model_alone(context: ProbeContext, findings: Findings) -> None:
    torch.manual_seed(0)
    fresh = Normnet(CONFIG, context.task)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(context.module.state_dict()[name], tensor)


@given(st.lists(st.floats(0, 1), min_size=len(FRACTIONS), max_size=len(FRACTIONS)))
def test_every_fraction_up_to_the_prunable_one_costs_at_most_a_point(curve: list[float]) -> None:
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
def test_a_verdict_is_ahead_or_behind_if_the_seeds_do_not_overlap(theirs: list[float], higher: bool, said: str) -> None:
    numbers = {0.0: [0.7, 0.9], 1.0: theirs}
    row = Row("1", "", lambda measured: numbers[measured.rate], higher, str)
    assert verdict(row, {"norm": Measured(0.0, 1.0), "control": Measured(1.0, 1.0)}) == f"{said} control"


def test_a_lead_at_one_setting_alone_is_no_lead() -> None:
    numbers = {0.0: [0.9, 0.2], 1.0: [0.5], 2.0: []}
    row = Row("3", "", lambda measured: numbers[measured.rate], True, str, over_settings=True)
    results = {"norm": Measured(0.0, 1.0), "control": Measured(1.0, 1.0), "other": Measured(2.0, 1.0)}
    assert verdict(row, results) == "level with control, not comparable with other"


def test_one_seed_gives_figures_but_no_deviation(context: ProbeContext, tmp_path: Path) -> None:
    one = replace(BUDGET, seeds=(0,), steps=5, task_steps=10, rates=(1e-2,))
    alone = ProbeContext(context.module, CONFIG, context.task, context.data, 0, [], tmp_path)
    assert "±" not in probe(alone, one).text
