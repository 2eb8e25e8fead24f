"""Recipes: one YAML file per model that holds everything needed to make it again.

``load_recipe`` finds, reads, overrides and validates one; every problem it finds is one line of its error.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import SerializeAsAny, TypeAdapter, ValidationError

from zoo.config.base import Section
from zoo.config.data import DataConfig
from zoo.config.export import ExportConfig
from zoo.config.train import TrainConfig
from zoo.families.base import FamilyConfig
from zoo.families.registry import family_names, get_family
from zoo.recipe.problems import hint, problem_line, show_value
from zoo.recipe.reading import override_key, read_tree
from zoo.utils.errors import RecipeError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SECTIONS: dict[str, Any] = {"data": DataConfig, "train": TrainConfig, "export": ExportConfig}


class Recipe(Section):
    """A validated recipe. ``name`` is its file's name, and the model's."""

    name: str
    model: SerializeAsAny[FamilyConfig]
    data: DataConfig
    train: TrainConfig
    export: ExportConfig

    def to_dict(self) -> dict[str, Any]:
        """The four sections with every default filled in, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"name"})

    def to_yaml(self) -> str:
        """The resolved recipe, as a file that loads to the same recipe."""
        return to_yaml(self.to_dict())

    def sha256(self) -> str:
        """Hash of the resolved recipe: equal for recipes that mean the same."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def to_yaml(recipe: dict[str, Any]) -> str:
    """The sections of a recipe as YAML."""
    return yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, width=110)


def recipe_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).parents[1]
    packaged = package / "recipes"
    return packaged if packaged.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a shipped recipe by name, or any recipe by path, with ``key.path=value`` overrides.

    What ends in ``.yaml`` or holds a path separator is a path. The value of an override is YAML.
    Raises RecipeError with one line per problem.
    """
    path = _find(name_or_path)
    tree = read_tree(path)
    for override in overrides:
        override_key(tree, override)
    return _validate(tree, path)


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text:
        path = Path(text)
        if not path.is_file():
            raise RecipeError(f"{path}: no such recipe file")
        if not _NAME.fullmatch(path.stem):
            raise RecipeError(
                f"{path}: the file's name is the model's name and should hold only lower-case "
                f"letters, digits, '.', '_' and '-', found {path.stem!r}"
            )
        return path
    names = recipe_names()
    if text not in names:
        raise RecipeError(f"unknown recipe {text!r}{hint(text, names)}; there are: {', '.join(names)}")
    return recipe_folder() / f"{text}.yaml"


# --- validation ---


def _validate(tree: dict[Any, Any], path: Path) -> Recipe:
    sections = ("model", *_SECTIONS)
    problems = [
        f"{key}: unknown section{hint(str(key), sections)}; allowed: {', '.join(sections)}"
        for key in tree
        if key not in sections
    ]
    problems += [f"{place}: found {value}, should be a finite number" for place, value in _non_finite(tree)]
    if problems:
        raise _error(path, problems)
    built: dict[str, Any] = {}
    for section, schema in (("model", _model_schema(tree, path)), *_SECTIONS.items()):
        value = tree.get(section, {} if section == "export" else None)
        if value is None:
            problems.append(f"{section}: this section is missing")
            continue
        try:
            # JSON's strict mode takes lists for tuples and refuses "3" or true for a number.
            built[section] = TypeAdapter(schema).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            problems += [problem_line(section, schema, value, details) for details in error.errors(include_url=False)]
    if problems:
        raise _error(path, problems)
    return Recipe.model_construct(name=path.stem, **built)


def _model_schema(tree: dict[Any, Any], path: Path) -> type[FamilyConfig]:
    """The config class that ``model.family`` names."""
    model = tree.get("model")
    known = ", ".join(family_names())
    if not isinstance(model, dict):
        raise _error(path, [f"model: should be a mapping with a family, found {show_value(model)}; families: {known}"])
    if "family" not in model:
        raise _error(path, [f"model.family: this key is missing; families: {known}"])
    family = model["family"]
    if family not in family_names():
        near = hint(str(family), family_names())
        raise _error(
            path,
            [f"model.family: unknown family {show_value(family)}{near}; families: {known}"],
        )
    return get_family(family).config


def _non_finite(tree: Any, place: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _non_finite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _non_finite(value, f"{place}.{index}")
    elif isinstance(tree, float) and not math.isfinite(tree):
        yield place, tree


def _error(path: Path, problems: Sequence[str]) -> RecipeError:
    return RecipeError("\n".join(f"{path}: {problem}" for problem in problems))
