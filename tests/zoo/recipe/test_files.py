from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import SMALL
from zoo.recipe import load_recipe, recipe_names
from zoo.utils.errors import RecipeError


def test_the_shipped_recipes_are_listed() -> None:
    expected = {"digits", "mnist", "mnist-gated", "mnist-literal", "imagenet"}
    assert {f"gridnet-{name}" for name in expected} <= set(recipe_names())


def test_a_file_is_found_by_its_path_and_names_the_model(tmp_path: Path) -> None:
    path = tmp_path / "my-own.yaml"
    path.write_text(SMALL)
    assert load_recipe(str(path)).name == "my-own"


def test_an_unknown_name_is_refused_with_the_closest_one_and_the_command_that_lists_all() -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe 'gridnet-mnst' \(did you mean gridnet-mnist") as info:
        load_recipe("gridnet-mnst")
    assert "`zoo list` shows the recipes" in str(info.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere/x\.yaml: no such recipe file"):
        load_recipe("nowhere/x.yaml")


def test_a_file_name_that_cannot_be_a_model_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "My Model.yaml").write_text(SMALL)
    with pytest.raises(RecipeError, match="found 'My Model'"):
        load_recipe(tmp_path / "My Model.yaml")
