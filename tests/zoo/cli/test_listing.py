from __future__ import annotations

import json
import shutil
from pathlib import Path

from sdk.resolve import find_model
from tests.support.command import fails, run
from zoo.recipe import load_recipe


def test_list_shows_recipes_and_trained_models() -> None:
    result = run("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:]}
    assert "gridnet-imagenet" in rows
    assert "%" in rows["gridnet-digits"]
    parsed = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert parsed["gridnet-digits"]["accuracy"] > 0.9
    assert parsed["gridnet-imagenet"]["accuracy"] is None
    assert "no model of family 'gridnett'" in fails(1, "list", "--family", "gridnett")


def test_list_shows_where_a_model_is_and_which_one_its_name_means(own_models_folder: Path) -> None:
    for name in ("shapes", "gridnet-digits", "broken"):
        shutil.copytree(find_model("bundled:normnet-digits"), own_models_folder / name)
    (own_models_folder / "broken" / "model.onnx").unlink()
    result = run("list")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["shapes", "own", "normnet"] in [row[:3] for row in rows]
    assert [row[1:-1] for row in rows if row[0] == "broken"] == [["own,", "damaged", *"-----"]]
    assert [row[1:3] for row in rows if row[0] == "gridnet-digits"] == [["own", "normnet"], ["bundled,", "shadowed"]]
    assert [row[1] for row in rows if row[0] == "gridnet-imagenet"] == ["-"]
    assert f"zoo: note: damaged: {own_models_folder}/broken: model.onnx is missing" in result.stderr
    assert "write bundled:NAME for it" in result.stderr
    assert str(own_models_folder / "shapes") in run("info", "shapes").output


def test_info_shows_recipe_and_model() -> None:
    result = run("info", "gridnet-digits")
    assert result.exit_code == 0
    for word in ("parameters     137,098", "test accuracy", "seed 0", "outer_steps: 8"):
        assert word in result.output
    assert set(json.loads(run("info", "gridnet-imagenet", "--json").output)) == {"recipe"}
    assert "no recipe or model named 'nothing'" in fails(1, "info", "nothing")


def test_info_shows_a_recipe_file(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(load_recipe("gridnet-digits").to_yaml())
    assert set(json.loads(run("info", str(recipe), "--json").output)) == {"recipe"}
    recipe.write_text(recipe.read_text().replace("epochs:", "epoch:"))
    assert "train.epoch: unknown key" in fails(1, "info", str(recipe))
    assert "no such recipe file" in fails(1, "info", str(tmp_path / "other.yaml"))
