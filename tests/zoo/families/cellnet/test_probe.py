"""CellNet's probe: its findings, and the measurements behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.config.data import AugmentConfig, DigitsConfig
from zoo.data import load_data
from zoo.data.split import ArraySplit, Data
from zoo.families.cellnet import probe as cellnet_probe
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.probe import accuracy_by_steps, brief_training, predicted_moves, probe
from zoo.families.probing import ProbeContext

HISTORY = [
    {"epoch": 1.0, "train_loss": 2.0, "train_cosine_with_input": 0.1, "train_cosine_without_input": -0.1},
    {"epoch": 2.0, "train_loss": 1.0, "train_cosine_with_input": 0.3, "train_cosine_without_input": 0.0},
]


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(DigitsConfig(name="digits"))


@pytest.fixture
def context(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProbeContext:
    monkeypatch.setattr(cellnet_probe, "ABLATION_BATCHES", 12)
    config = CellnetConfig(cells=4, core=8, hidden=8, truncate=4, input_steps=3)
    torch.manual_seed(0)
    module = Cellnet(config, data.task).eval()
    return ProbeContext(module, config, data.task, data, 0, HISTORY, tmp_path)


def test_the_findings_have_numbers_text_and_figures(context: ProbeContext) -> None:
    findings = probe(context)
    assert {path.name for path in context.figures.iterdir()} == set(findings.figures)
    assert set(findings.figures) == {"steps.png", "cosine.png", "paths.png"}
    for name in findings.figures:
        assert np.asarray(Image.open(context.figures / name).convert("L")).std() > 5, f"{name} is empty"
    reported = {"1", "2", "4", "8"}
    assert set(findings.metrics["accuracy_after_steps"]) == reported
    assert {name: set(values) for name, values in findings.metrics["ablation"].items()} == {
        "with": reported,
        "without": reported,
    }
    for line in ("| this model |", "batches with loss (a) |", "batches without |"):
        assert line in findings.text


def test_without_history_the_cosine_figure_is_left_out(context: ProbeContext) -> None:
    context.history.clear()
    findings = probe(context)
    assert set(findings.figures) == {path.name for path in context.figures.iterdir()} == {"steps.png", "paths.png"}


def test_accuracy_by_steps_equals_that_of_single_predictions(context: ProbeContext, data: Data) -> None:
    inputs = data.test.prepare(data.test.inputs)  # type: ignore[attr-defined]
    with torch.inference_mode():
        for step, accuracy in enumerate(accuracy_by_steps(context.module, data.test, 5), 1):  # type: ignore[arg-type]
            right = (context.module(inputs, step).argmax(-1) == data.test.labels).float().mean()
            assert accuracy == pytest.approx(float(right), abs=1e-6)


def test_moves_that_follow_the_gradient_have_a_cosine_of_one(data: Data) -> None:
    """Two cells with silent connections: nothing moves, until the OutCell gets a constant move along the gradient."""
    config = CellnetConfig(cells=2, in_cells=1, core=4, hidden=4)
    torch.manual_seed(0)
    module = Cellnet(config, data.task)
    with torch.no_grad():
        for parameter in (*module.connections.parameters(), *module.input.parameters()):
            parameter.zero_()
    still = predicted_moves(module, data.test)
    assert [move.step for move in still] == [2, 3, 4, 5]
    assert [move.fed for move in still] == [True, False, False, False]
    assert all(move.cosine == move.norm == 0 for move in still[:1])
    # The OutCell now moves by a constant, in the direction that the gradient asks for.
    labels = torch.full((len(data.test),), 3)
    core = module.initial_cores(1).clone().requires_grad_()
    torch.nn.functional.cross_entropy(module.read(core), labels[:1]).backward()
    with torch.no_grad():
        module.connections[2].bias[1] = -0.01 * core.grad[0, 1]  # type: ignore[index]
    assert isinstance(data.test, ArraySplit)
    threes = ArraySplit(data.test.inputs, labels, data.test.spec, AugmentConfig(), workers=0)
    assert predicted_moves(module, threes)[0].cosine_out == pytest.approx(1, abs=0.02)


def test_brief_trainings_are_repeatable_and_leave_the_random_state_alone(context: ProbeContext) -> None:
    before = torch.get_rng_state()
    first, again = brief_training(context, 1.0), brief_training(context, 1.0)
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
