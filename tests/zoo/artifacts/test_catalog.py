from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdk.catalog import bundled_models
from sdk.errors import LoadError
from zoo.artifacts.catalog import describe, list_rows
from zoo.recipe import load_recipe


def copy_own(folder: Path, name: str, source: str = "normnet-digits") -> Path:
    """Copy a bundled model to the user's own models."""
    return Path(shutil.copytree(bundled_models()[source], folder / name))


def test_own_models_are_listed_beside_bundled_ones_and_recipes(own_models_folder: Path) -> None:
    copy_own(own_models_folder, "shapes")
    copy_own(own_models_folder, "gridnet-digits")
    rows = {(row["name"], row["where"]): row for row in list_rows()}
    assert rows["shapes", "own"]["accuracy"] > 0.9
    assert not rows["shapes", "own"]["recipe"]
    assert (rows["gridnet-digits", "own"]["family"], rows["gridnet-digits", "bundled"]["family"]) == (
        "normnet",
        "gridnet",
    )
    assert [key for key, row in rows.items() if row["shadowed"]] == [("gridnet-digits", "bundled")]
    assert rows["gridnet-imagenet", None]["recipe"]


def test_a_damaged_own_model_is_listed_with_the_reason(own_models_folder: Path) -> None:
    (copy_own(own_models_folder, "shapes") / "model.onnx").unlink()
    (copy_own(own_models_folder, "gridnet-imagenet") / "config.json").write_text("{")
    (own_models_folder / "empty").mkdir()
    damaged = {row["name"]: row["damaged"] for row in list_rows() if row["damaged"]}
    assert list(damaged) == ["empty", "gridnet-imagenet", "shapes"]
    assert "no config.json in it" in damaged["empty"]
    assert "model.onnx is missing" in damaged["shapes"]


def test_the_recipe_of_a_model_is_the_one_that_made_it(own_models_folder: Path) -> None:
    copy_own(own_models_folder, "gridnet-digits")
    with pytest.warns(UserWarning, match="means the model in"):
        facts = describe("gridnet-digits")
    assert facts["model"]["origin"] == str(own_models_folder / "gridnet-digits")
    assert facts["recipe"]["model"]["family"] == facts["model"]["family"] == "normnet"
    assert describe("bundled:gridnet-digits")["recipe"] == load_recipe("gridnet-digits").to_dict()


def test_an_unknown_name_is_answered_with_the_closest_one(own_models_folder: Path) -> None:
    copy_own(own_models_folder, "shapes")
    for typed, meant in (
        ("shaeps", "shapes"),
        ("gridnet-minst", "gridnet-mnist"),
        ("gridnet-imgenet", "gridnet-imagenet"),
    ):
        with pytest.raises(LoadError, match=rf"'{typed}' \(did you mean {meant}\?\); `zoo list` shows all of them"):
            describe(typed)
    with pytest.raises(LoadError, match=r"'gridnte' \(did you mean gridnet\?\); known families"):
        list_rows("gridnte")
