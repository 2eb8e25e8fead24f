"""``zoo compare`` on models and on run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.support.command import fails
from tests.support.training import fit
from zoo.cli import cli

FILES = {"compare.json", "compare.csv", "compare.md", "compare.png", "compare.svg"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, rate in (("slow", 1e-4), ("fast", 1e-2)):
        fit(folder / name, f"train.optimizer.lr={rate}")
    return folder


def test_models_are_compared_from_stored_results_and_written_in_five_forms(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(cli, ["compare", "normnet-digits", "knn-digits", "nca-iris", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "measured now" not in result.output
    assert "knn-digits *" in result.output
    assert {path.name for path in out.iterdir()} == FILES
    tree = json.loads((out / "compare.json").read_text())
    assert [model["name"] for model in tree["models"]] == ["normnet-digits", "knn-digits", "nca-iris"]
    assert [(pair["first"], pair["second"]) for pair in tree["pairs"]] == [("normnet-digits", "knn-digits")]
    assert min(Image.open(out / "compare.png").size) > 500
    assert (out / "compare.svg").read_text().startswith("<?xml")
    again = CliRunner().invoke(cli, ["compare", "normnet-digits", "--out", str(out)])
    assert again.exit_code == 0, again.output


def test_without_names_all_models_of_a_data_set_are_compared() -> None:
    result = CliRunner().invoke(cli, ["compare", "--data", "iris", "--json"])
    names = {model["name"] for model in json.loads(result.stdout)["models"]}
    assert {"nca-iris", "nca-learner", "knn-iris", "boosting-iris"} <= names
    assert "normnet-digits" not in names


def test_runs_are_compared_by_their_learning_curves(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(cli, ["compare", str(runs / "slow"), str(runs / "fast"), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    tree = json.loads(result.stdout)
    assert [row["run"] for row in tree["runs"]] == ["slow", "fast"]
    assert [one["samples"] for one in tree["curves"]["slow"]] == [2 * 16, 4 * 16, 6 * 16]
    assert tree["runs"][0]["test_accuracy"] is not None
    assert {path.name for path in out.iterdir()} == FILES
    assert len((out / "compare.csv").read_text().splitlines()) == 1 + 6
    shown = CliRunner().invoke(cli, ["compare", str(runs / "slow"), str(runs / "fast")])
    assert "validation best" in shown.output


def test_mistakes_are_one_line(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    run = str(runs / "slow")
    assert "run folders are compared with run folders alone, found also normnet-digits" in fails(
        1, "compare", run, "normnet-digits"
    )
    assert "holds other files" in fails(1, "compare", "normnet-digits", "--out", str(tmp_path))
    assert "--data, --measure and --results are for models" in fails(2, "compare", run, "--measure")
    assert "no model named 'normnet-digit'" in fails(1, "compare", "normnet-digit")
    fails(1, "compare", str(tmp_path / "empty"))
    assert "--results is for --suite" in fails(2, "probe", "normnet-digits", "--results", str(tmp_path / "r.json"))
