"""The probe of a gridnet: its measurements and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.data.split import Data
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet
from zoo.families.gridnet.probe import probe
from zoo.families.objective import OBJECTIVES
from zoo.families.probing import Findings, ProbeContext
from zoo.training.evaluate import evaluate


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data(DigitsConfig(name="digits"))


def build(data: Data, **options: Any) -> Gridnet:
    torch.manual_seed(0)
    config = GridnetConfig(**{"grid": (8, 8, 4), "block": 2, "outer_steps": 3, **options})
    return Gridnet(config, data.task).eval()


def run(module: Gridnet, data: Data, figures: Path) -> Findings:
    figures.mkdir()
    return probe(ProbeContext(module, module.config, data.task, data, 0, [], figures))


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 6), ({"separate_params": True}, 3), ({"outer_steps": 1, "patch": {"size": 2, "channels": 3}}, 2)],
    ids=str,
)
def test_the_accuracy_after_the_trained_steps_equals_the_models(
    data: Data, tmp_path: Path, options: dict[str, Any], steps: int
) -> None:
    module = build(data, **options)
    findings = run(module, data, tmp_path / "figures")
    accuracies = findings.metrics["accuracy_after_outer_steps"]
    correct, total, _ = evaluate(module, data.test, OBJECTIVES["classification"], 256, torch.device("cpu"))
    assert len(accuracies) == steps + 1
    assert accuracies[module.config.outer_steps] == correct / total
    counts = torch.bincount(data.test.labels, minlength=10)
    recalls = torch.tensor(findings.metrics["accuracy_of_classes"])
    assert float((recalls * counts).sum()) == pytest.approx(correct, abs=1e-3)
    assert f"test accuracy of {correct / total:.2%}" in findings.text
    assert f"Of {total - correct} mistakes among {total} test samples" in findings.text


def test_the_figures_are_small_and_reproducible(data: Data, tmp_path: Path) -> None:
    module = build(data)
    findings = run(module, data, tmp_path / "one")
    again = run(module, data, tmp_path / "two")
    assert set(findings.figures) == {path.name for path in (tmp_path / "one").iterdir()}
    assert again == findings
    for name in findings.figures:
        path = tmp_path / "one" / name
        assert path.read_bytes() == (tmp_path / "two" / name).read_bytes()
        assert path.stat().st_size < 150_000
        with Image.open(path) as image:
            assert min(image.size) > 200
