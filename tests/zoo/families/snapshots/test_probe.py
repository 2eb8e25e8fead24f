"""The probe of the snapshots family."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.families.probing import ProbeContext
from zoo.families.registry import get_family
from zoo.families.snapshots import probe as module
from zoo.training.result import TrainResult


def test_the_probe_measures_every_mode_and_draws_its_figures(result: TrainResult, tmp_path: Path) -> None:
    context = ProbeContext(
        module=result.module,
        config=result.recipe.model,
        task=result.data.task,
        data=result.data,
        seed=0,
        history=result.history,
        figures=tmp_path,
    )
    findings = module.probe(context)
    metrics = findings.metrics
    assert metrics["weighted"]["accuracy"] == pytest.approx(result.test.accuracy)
    assert len(metrics["snapshots"]) == len(result.findings["snapshots"])
    costs = [entry["cost"] for entry in result.findings["snapshots"]]
    assert min(costs) <= metrics["progressive"]["edges"] <= sum(costs)
    validation = [entry["validation_accuracy"] for entry in result.findings["snapshots"]]
    assert validation[metrics["chosen_on_validation"]] == max(validation)
    assert f"single snapshot {metrics['chosen_on_validation']}, the best on validation" in findings.text
    assert {path.name for path in tmp_path.iterdir()} == {"growth.png", "inputs.png", "spent.png"}
    assert set(findings.figures) == {"growth.png", "inputs.png", "spent.png"}


def test_the_family_has_its_optional_hooks() -> None:
    family = get_family("snapshots")
    assert family.probe is not None
    assert family.bench is not None
    assert family.onnx_graph is not None
