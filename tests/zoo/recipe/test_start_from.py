"""``train.start_from``: which paths become absolute, and which names stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.artifacts import write_tiny
from zoo.recipe import load_recipe

TEXT = "model: {family: normnet}\ndata: {name: digits}\ntrain: {start_from: SOURCE}\n"


def source_of(folder: Path, source: str) -> str | None:
    """Return the key of a recipe in ``folder`` after loading."""
    file = folder / "mine.yaml"
    file.write_text(TEXT.replace("SOURCE", source))
    return load_recipe(file).train.start_from


def test_a_path_starts_at_the_recipe_and_an_override_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipes = tmp_path / "recipes"
    write_tiny(recipes / "models" / "tiny")
    assert source_of(recipes, "./there") == str(recipes / "there")
    assert source_of(recipes, "models/tiny") == str(recipes / "models" / "tiny")
    override = load_recipe("gridnet-digits", ["train.start_from=./here"])
    assert override.train.start_from == str(tmp_path / "here")


@pytest.mark.parametrize("source", ["alice/tiny", "alice/tiny@v1", "my-own", "bundled:gridnet-mnist"])
def test_other_names_stay(tmp_path: Path, source: str) -> None:
    assert source_of(tmp_path, source) == source


def test_a_bundled_model_is_named_as_such(tmp_path: Path) -> None:
    assert source_of(tmp_path, "gridnet-mnist") == "bundled:gridnet-mnist"


def test_a_resolved_recipe_loads_to_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("gridnet-digits", ["train.start_from=./x", "train.freeze=['a.*']"])
    (tmp_path / "gridnet-digits.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "gridnet-digits.yaml") == recipe
