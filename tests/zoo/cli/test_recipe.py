from __future__ import annotations

from pathlib import Path

from tests.support.command import fails, run
from zoo.recipe import load_recipe

SHORT = "model: {family: normnet}\ndata: {name: image_folder, image_size: 32}\n"


def test_a_recipe_is_shown_with_every_default_filled_in(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SHORT)
    result = run("recipe", str(tmp_path / "mine.yaml"), "-o", "train.epochs=3")
    assert result.exit_code == 0
    (tmp_path / "shown.yaml").write_text(result.output)
    shown = load_recipe(tmp_path / "shown.yaml")
    assert shown.to_dict() == load_recipe(tmp_path / "mine.yaml", ["train.epochs=3"]).to_dict()
    assert "resize: 37" in result.output
    assert "batch_size: 32" in result.output
    assert run("recipe", "gridnet-mnist").output == load_recipe("gridnet-mnist").to_yaml()


def test_keys_are_explained_by_topic() -> None:
    lines = run("recipe", "--keys", "gridnet").output.splitlines()
    assert lines[0] == "model: gridnet"
    grid = next(line for line in lines if line.startswith("model.grid"))
    assert "list of 3: integer > 0" in grid
    assert "required" in grid
    assert "own defaults are `epochs: 150`" in run("recipe", "--keys", "snapshots").output
    assert "data.path" in run("recipe", "--keys", "image_folder").output


def test_what_cannot_be_shown_is_refused_in_one_line() -> None:
    assert "give a recipe, or --keys TOPIC" in fails(2, "recipe")
    assert "give a recipe, or --keys TOPIC" in fails(2, "recipe", "gridnet-mnist", "--keys", "train")
    assert "did you mean optimizer?" in fails(1, "recipe", "--keys", "optimiser")
    assert "unknown recipe 'gridnet-minst' (did you mean" in fails(1, "recipe", "gridnet-minst")
