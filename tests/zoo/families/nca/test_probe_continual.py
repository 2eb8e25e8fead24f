"""Tasks learned in turn, and layers that come half way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo.families.nca.probe_continual as continual
from tests.support.nca import TEACHING, build, context_of
from zoo.data.split import Data
from zoo.families.nca.probe_growth import measure_growth
from zoo.families.nca.trial import Trial


def test_tasks_in_turn_give_a_row_per_pair_and_depth_with_both_learners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continual, "RATES", (0.1, 0.3))
    module = build(**{**TEACHING, "epochs": 2}, meta={"layers": [2], "hidden": [6]})
    with torch.no_grad():
        rows = continual.measure_continual(module, 0, seeds=2)
    assert [(row["data"], row["layers"]) for row in rows] == [
        ("generated tasks", 2),
        ("digits, the same outputs", 2),
        ("digits, outputs of their own", 2),
    ]
    assert all(len(row[key]) == 6 for row in rows for key in ("rule_a", "rule_b", "sgd_a", "sgd_b"))
    own = rows[2]
    assert own["sgd_a"][1] > 0.8  # digits are learned, and lost while others with outputs of their own are learned
    assert own["sgd_a"][3] < 0.2
    assert own["sgd_b"][3] > 0.7
    assert own["sgd_forgot"]["mean"] > 0.6
    assert own["rate"] in (0.1, 0.3)


def test_both_tasks_of_a_pair_share_inputs_and_differ_in_classes() -> None:
    (support_a, query_a), (support_b, _) = continual._digits(3)
    assert support_a.inputs.shape[1] == support_b.inputs.shape[1] == 8
    assert sorted(support_a.labels.unique().tolist()) == sorted(support_b.labels.unique().tolist()) == [0, 1, 2]
    assert len(query_a.labels) < len(support_a.labels)
    torch.testing.assert_close(support_a.inputs.mean(0), torch.zeros(8), atol=1e-5, rtol=0)


@pytest.mark.parametrize("senses", ["none", "sums", "teaching"])
def test_a_new_layer_leaves_the_weights_of_the_others(data: Data, tmp_path: Path, senses: str) -> None:
    meta = {"layers": [4], "hidden": [5]}
    context = context_of(data, tmp_path, layers=4, hidden=5, rule={"senses": senses}, meta=meta)
    trial = Trial(context, context.module, [4, 5, 5, 3])  # type: ignore[arg-type]
    trial.evolve(2)
    before = trial.state[..., 0].clone()
    trial.deepen([4, 5, 5, 5, 3], 2)
    after = trial.state[..., 0]
    assert torch.equal(after[:, 0, :4, :5], before[:, 0, :4, :5])
    assert torch.equal(after[:, 1, :5, :5], before[:, 1, :5, :5])
    assert torch.equal(after[:, 3, :5, :3], before[:, 2, :5, :3])
    assert after[:, 2, :5, :5].any(-1).all()
    assert torch.equal(trial.wiring.depth, torch.full((len(after),), 4))
    assert not after[~trial.wiring.mask].any()
    assert 0 <= trial.evolve(2)[-1] <= 1


@pytest.mark.parametrize("senses", ["none", "sums"])
def test_growth_measures_every_place_of_a_new_layer(data: Data, tmp_path: Path, senses: str) -> None:
    context = context_of(data, tmp_path, layers=4, hidden=4, rule={"senses": senses}, meta={"layers": [1, 3]})
    with torch.no_grad():
        found = measure_growth(context, context.module)  # type: ignore[arg-type]
    rows = found.metrics["layers_added"]["rows"]
    assert [(row["layers"], row["place"]) for row in rows] == [(3, 1), (4, 1), (4, 2)]
    assert "| 3 to 4 | 3 |" in found.text
    assert list(found.figures) == ["epochs.png"]


def test_a_network_without_hidden_layers_gets_no_layer(data: Data, tmp_path: Path) -> None:
    context = context_of(data, tmp_path)
    with torch.no_grad():
        found = measure_growth(context, context.module)  # type: ignore[arg-type]
    assert "layers_added" not in found.metrics
