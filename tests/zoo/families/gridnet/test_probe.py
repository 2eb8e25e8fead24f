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
    "options", [{}, {"gated": True}, {"separate_params": True}, {"outer_residual": True, "inner_steps": 2}], ids=str
)
def test_outer_steps_one_by_one_are_the_whole_evolution(data: Data, options: dict[str, Any]) -> None:
    module = build(data, **options)
    start = grid = module.embed(torch.randn(4, 1, 8, 8))
    for number in range(3):
        grid = module.outer_step(grid, number)
    torch.testing.assert_close(grid, module.evolve(start))


def test_shared_steps_go_on_and_separate_ones_end(data: Data) -> None:
    shared, separate = build(data), build(data, separate_params=True)
    grid = torch.randn(1, 8, 8, 4)
    assert torch.equal(shared.outer_step(grid, 9), shared.outer_step(grid, 0))
    with pytest.raises(IndexError, match="outer step 3 has no parameters; this module has those of steps 0 to 2"):
        separate.outer_step(grid, 3)


@pytest.mark.parametrize(
    ("options", "steps"),
    [({}, 6), ({"separate_params": True}, 3), ({"outer_steps": 1, "patch": {"size": 2, "channels": 3}}, 2)],
    ids=str,
)
def test_the_accuracy_after_the_trained_steps_is_the_models(
    data: Data, tmp_path: Path, options: dict[str, Any], steps: int
) -> None:
    module = build(data, **options)
    findings = run(module, data, tmp_path / "figures")
    accuracies = findings.metrics["accuracy_after_outer_steps"]
    correct, total, _ = evaluate(module, data.test, 256, torch.device("cpu"))
    assert len(accuracies) == steps + 1
    assert accuracies[module.config.outer_steps] == correct / total
    counts = torch.bincount(data.test.labels, minlength=10)
    recalls = torch.tensor(findings.metrics["accuracy_of_classes"])
    assert float((recalls * counts).sum()) == pytest.approx(correct, abs=1e-3)
    assert f"test accuracy of {correct / total:.2%}" in findings.text
    assert f"Of {total - correct} mistakes among {total} test samples" in findings.text


def test_the_figures_are_small_and_the_same_each_time(data: Data, tmp_path: Path) -> None:
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
