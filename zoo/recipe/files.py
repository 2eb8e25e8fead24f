"""The files of recipes: those that ship with the package, and those given by path."""

from __future__ import annotations

import re
from pathlib import Path

from sdk.validation import hint
from zoo.utils.errors import RecipeError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def recipe_folder() -> Path:
    """Return the folder of the shipped recipes: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "recipes"
    return packaged if packaged.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def find_recipe(name_or_path: str | Path) -> Path:
    """Return the file of a shipped recipe's name or of a path; raises RecipeError if it does not exist."""
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text:
        path = Path(text)
        if not path.is_file():
            raise RecipeError(f"{path}: no such recipe file")
        if not _NAME.fullmatch(path.stem):
            raise RecipeError(
                f"{path}: the file's name is the model's name, which should have only lower-case letters, digits, "
                f"'.', '_' and '-', found {path.stem!r}"
            )
        return path
    names = recipe_names()
    if text not in names:
        raise RecipeError(
            f"unknown recipe {text!r}{hint(text, names)}; `zoo list` shows the recipes, and a path ends in .yaml"
        )
    return recipe_folder() / f"{text}.yaml"


def check_name(name: str) -> str:
    """Return the name of a model; raises RecipeError for one that a recipe's file could not have."""
    if not _NAME.fullmatch(name):
        raise RecipeError(
            f"name: found {name!r}, allowed lower-case letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return name
