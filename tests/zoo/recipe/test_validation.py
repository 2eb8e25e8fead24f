from __future__ import annotations

import pytest

from tests.support.recipes import problem
from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError


@pytest.mark.parametrize("section", ["model", "data", "train"])
def test_a_missing_section_is_named(section: str) -> None:
    assert problem(f"{section}=null").startswith(f"{section}: ")


def test_the_error_names_the_file() -> None:
    with pytest.raises(RecipeError, match=r"recipes/gridnet-digits\.yaml: model\.block: "):
        load_recipe("gridnet-digits", ["model.block=5"])


def test_every_problem_has_its_own_line() -> None:
    with pytest.raises(RecipeError) as info:
        load_recipe("gridnet-digits", ["model.block=0", "data.seed=x", "train.batch_size=0", "train.colour=1"])
    places = [line.split(": ")[1] for line in str(info.value).splitlines()]
    assert places == ["model.block", "data.seed", "train.batch_size", "train.colour"]
