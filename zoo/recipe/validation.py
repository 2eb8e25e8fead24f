"""Validates the sections of a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sdk.validation import hint
from zoo.config.data import DataConfig
from zoo.config.export import ExportConfig
from zoo.config.train import TrainConfig
from zoo.families.base import FamilyConfig
from zoo.families.registry import family_names, get_family
from zoo.recipe.problems import problem_line, show_value
from zoo.utils.errors import RecipeError

_SECTIONS: dict[str, Any] = {"data": DataConfig, "train": TrainConfig, "export": ExportConfig}


def validate_sections(tree: dict[Any, Any], path: Path) -> dict[str, Any]:
    """Return the config of each section by name; raises RecipeError with one line per problem."""
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
            # JSON's strict mode accepts lists for tuples, but not "3" or true for a number.
            built[section] = TypeAdapter(schema).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            problems += [problem_line(section, schema, value, details) for details in error.errors(include_url=False)]
    if problems:
        raise _error(path, problems)
    return built


def _model_schema(tree: dict[Any, Any], path: Path) -> type[FamilyConfig]:
    """Return the config class of the family that ``model.family`` names."""
    model = tree.get("model")
    known = ", ".join(family_names())
    if not isinstance(model, dict):
        raise _error(path, [f"model: should be a mapping with a family, found {show_value(model)}; families: {known}"])
    if "family" not in model:
        raise _error(path, [f"model.family: this key is missing; families: {known}"])
    family = model["family"]
    if family not in family_names():
        near = hint(str(family), family_names())
        raise _error(path, [f"model.family: unknown family {show_value(family)}{near}; families: {known}"])
    return get_family(family).config


def _non_finite(tree: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in the tree that is not finite, with its key path."""
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
