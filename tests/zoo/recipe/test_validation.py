from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import problem
from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("model", "model: should be a mapping with a family, found nothing; families: "),
        ("data", "data: this section is missing; write data: {name: digits}"),
    ],
)
def test_a_missing_section_is_named(section: str, line: str) -> None:
    assert problem(f"{section}=null").startswith(line)


@pytest.mark.parametrize("section", ["train", "export"])
def test_a_section_with_defaults_may_be_missing_or_empty(section: str, tmp_path: Path) -> None:
    text = "model: {family: normnet}\ndata: {name: digits}\n"
    path = tmp_path / "mine.yaml"
    resolved = []
    for more in ("", f"{section}:\n", f"{section}: {{}}\n"):
        path.write_text(text + more)
        resolved.append(load_recipe(path).to_dict())
    assert resolved[0] == resolved[1] == resolved[2]
    assert resolved[0]["train"]["epochs"] == 10


@pytest.mark.parametrize("section", ["data", "train", "export"])
def test_a_section_that_is_not_a_mapping_is_refused(section: str) -> None:
    assert problem(f"{section}=3").startswith(f"{section}: found 3, should be an object")


def test_the_error_names_the_file() -> None:
    with pytest.raises(RecipeError, match=r"recipes/gridnet-digits\.yaml: model\.block: "):
        load_recipe("gridnet-digits", ["model.block=5"])


def test_every_problem_has_its_own_line() -> None:
    with pytest.raises(RecipeError) as info:
        load_recipe("gridnet-digits", ["model.block=0", "data.seed=x", "train.batch_size=0", "train.colour=1"])
    places = [line.split(": ")[1] for line in str(info.value).splitlines()]
    assert places == ["model.block", "data.seed", "train.batch_size", "train.colour"]
