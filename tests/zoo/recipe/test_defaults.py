"""Defaults: a short recipe trains, families may have their own, and shipped recipes resolve as they always did."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from zoo.recipe import load_recipe, recipe_names
from zoo.training.loop import train
from zoo.utils.errors import RecipeError, TrainingError

FIVE_LINES = """\
model:
  family: normnet
data:
  name: digits
train: {epochs: 3}
"""
SEALED = sorted(path.parent.name for path in (ROOT / "exports").glob("*/recipe.yaml"))
# Recipes without a sealed model, by the hash of the first release; change one with a deliberate change of its recipe.
HASHES = {
    "cellnet-mnist-literal": "e354bea30220f7cc4b3551a1fd2b767a6fd52b3a495fc9f8c6f2a26b6fdb7446",
    "gridnet-echo": "a1fdbe10369e232e2213ee9bd18dfdc579b53f7dea5591ae06e4b8587c900462",
    "gridnet-imagenet": "84d6e7fe4232beeda365644c509667ab1eb939d48ffaa1804793f2e699645968",
    "gridnet-mnist-literal": "9a48529b79bfeb7bc4922cecbf903c70e20df086728bbfa89a2fc8bea2c43f9f",
    "normnet-digits-rows": "f5de10e7b205c5bae7a7f24cd851985c20f815297b4e4b20b2c30a0b1e155091",
    "snapshots-mnist-cascade": "e749c709188792351331a47a9f9be8619c2d11edd8f83a50922e723975b6c020",
}


def resolve(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_recipe(path).to_dict()


def test_a_recipe_of_five_lines_trains(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FIVE_LINES)
    result = train(load_recipe(tmp_path / "mine.yaml"), run_dir=tmp_path / "run", device="cpu", progress=False)
    assert result.steps == 3 * (1293 // 32)
    assert result.test.accuracy > 0.5


def test_the_defaults_reach_what_the_guide_says(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "recipes.md").read_text()
    [(low, high)] = re.findall(r"reach (\d+) to (\d+) % on digits in ten epochs", guide)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model: {family: normnet}\ndata: {name: digits}\ntrain: {seed: 1}\n")
    result = train(load_recipe(recipe), run_dir=tmp_path / "run", device="cpu", progress=False)
    assert int(low) <= 100 * result.test.accuracy < int(high) + 0.5


@pytest.mark.parametrize("name", SEALED)
def test_a_shipped_recipe_resolves_to_the_sealed_values(name: str) -> None:
    assert load_recipe(name).to_dict() == yaml.safe_load((ROOT / "exports" / name / "recipe.yaml").read_text())


def test_a_recipe_without_a_sealed_model_resolves_to_the_same_hash() -> None:
    assert {name: load_recipe(name).sha256() for name in recipe_names() if name not in SEALED} == HASHES


@pytest.mark.parametrize(
    "model", ["{family: normnet}", "{family: gridnet, grid: [8, 8, 8]}", "{family: cellnet, cells: 5}"]
)
def test_most_families_share_the_defaults_of_training(model: str, tmp_path: Path) -> None:
    resolved = resolve(tmp_path, f"model: {model}\ndata: {{name: digits}}\n")["train"]
    assert (resolved["epochs"], resolved["steps"], resolved["batch_size"]) == (10, None, 32)
    assert (resolved["optimizer"]["name"], resolved["optimizer"]["lr"]) == ("adamw", 1e-3)


def test_a_family_may_have_defaults_of_its_own(tmp_path: Path) -> None:
    snapshots = resolve(tmp_path, "model: {family: snapshots}\ndata: {name: digits}\n")
    assert snapshots["train"]["epochs"] == snapshots["model"]["phases"][-1]["until"] == 150
    nca = resolve(tmp_path, "model: {family: nca}\ndata: {name: iris}\n")["train"]
    assert (nca["epochs"], nca["steps"], nca["optimizer"]["lr"]) == (None, 500, 0.01)


def test_the_default_rule_of_nca_learns_iris(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: {family: nca}\ndata: {name: iris}\n")
    result = train(load_recipe(tmp_path / "mine.yaml"), run_dir=tmp_path / "run", device="cpu", progress=False)
    assert result.test.accuracy >= 0.9


@pytest.mark.parametrize(
    ("written", "epochs", "steps"),
    [
        ("{epochs: 2}", 2, None),
        ("{steps: 9}", None, 9),
        ("{batch_size: 8}", None, 500),
        ("{epochs: null, steps: 9}", None, 9),
    ],
)
def test_what_a_recipe_writes_replaces_the_family_s_default(
    written: str, epochs: int | None, steps: int | None, tmp_path: Path
) -> None:
    resolved = resolve(tmp_path, f"model: {{family: nca}}\ndata: {{name: iris}}\ntrain: {written}\n")["train"]
    assert (resolved["epochs"], resolved["steps"]) == (epochs, steps)


@pytest.mark.parametrize(
    ("model", "key", "default"),
    [
        ("{family: gridnet, grid: [64, 32, 8]}", "block", 8),
        ("{family: gridnet, grid: [12, 12, 4]}", "block", 4),
        ("{family: gridnet, grid: [10, 15, 5]}", "block", 5),
        ("{family: gridnet, grid: [14, 9, 3]}", "block", 1),
        ("{family: cellnet, cells: 3}", "in_cells", 2),
        ("{family: cellnet, cells: 2}", "in_cells", 1),
        ("{family: cellnet, cells: 5, steps: 2}", "input_steps", 2),
    ],
)
def test_defaults_of_a_model_follow_each_other(model: str, key: str, default: int, tmp_path: Path) -> None:
    text = f"model: {model}\ndata: {{name: digits}}\n"
    assert resolve(tmp_path, text)["model"][key] == default


@pytest.mark.parametrize("model", ["{family: gridnet, grid: [8, 8, 0]}", "{family: cellnet, cells: none, steps: 0}"])
def test_a_default_that_follows_a_wrong_value_is_no_problem_of_its_own(model: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as info:
        resolve(tmp_path, f"model: {model}\ndata: {{name: digits}}\n")
    assert "block" not in str(info.value)
    assert "input_steps" not in str(info.value)


def test_no_length_at_all_is_refused_for_every_family(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.epochs: epochs or steps is missing; write epochs: 10"):
        resolve(tmp_path, "model: {family: nca}\ndata: {name: iris}\ntrain: {epochs: null}\n")


def test_a_batch_that_is_larger_than_the_data_is_refused_with_the_largest_allowed(tmp_path: Path) -> None:
    recipe = load_recipe("normnet-digits", ["train.batch_size=5000"])
    with pytest.raises(TrainingError, match=r"exceeds the 1293 training samples; set it to 1293 or less"):
        train(recipe, run_dir=tmp_path / "run", device="cpu", progress=False)
