"""Recipes that do not load."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.recipe import load_recipe
from zoo.utils.errors import RecipeError

SMALL = """\
model: {family: gridnet, grid: [8, 8, 2], block: 2}
data: {name: digits}
train: {epochs: 1, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
"""


def problem(*overrides: str, name: str = "gridnet-digits") -> str:
    """Load a recipe that has one problem; return the error's one line without the name of the file."""
    with pytest.raises(RecipeError) as info:
        load_recipe(name, overrides)
    assert "\n" not in str(info.value)
    return str(info.value).split(": ", 1)[1]


def problem_of_file(folder: Path, text: str) -> str:
    """Do as :func:`problem` with a recipe that holds ``text``."""
    path = folder / "small.yaml"
    path.write_text(text)
    return problem(name=str(path))
