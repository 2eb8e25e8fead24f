"""Validates the sections of a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sdk.validation import hint
from zoo.config.data import DataConfig
from zoo.config.export import ExportConfig
from zoo.config.train import TrainConfig
from zoo.families.base import Family
from zoo.families.registry import family_names, get_family
from zoo.recipe.problems import problem_line, show_value
from zoo.utils.errors import RecipeError

_SECTIONS: dict[str, Any] = {"data": DataConfig, "train": TrainConfig, "export": ExportConfig}
_SHOWN = 20
"""Most problems that an error lists."""


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
    family = _family(tree, path)
    for section, schema in (("model", family.config), *_SECTIONS.items()):
        value = tree.get(section)
        if value is None and section == "data":
            problems.append("data: this section is missing; write data: {name: digits}")
            continue
        if section == "train":
            value = _with_family_defaults(value, family)
        value = {} if value is None else value
        try:
            # JSON's strict mode accepts lists for tuples, but not "3" or true for a number.
            built[section] = TypeAdapter(schema).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            problems += _one_per_key([problem_line(section, schema, value, details) for details in _causes(error)])
    if problems:
        raise _error(path, problems)
    return built


def _one_per_key(problems: list[str]) -> list[str]:
    """Return the first problem of each key, without those of a list whose entry has one.

    A value that fits none of several types has a problem with each of them.
    """
    first: dict[str, str] = {}
    for problem in problems:
        first.setdefault(problem.partition(": ")[0], problem)
    return [problem for key, problem in first.items() if not any(other.startswith(f"{key}.") for other in first)]


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors without those that others cause: a list too short without its wrong entries, a derived key."""
    found = error.errors(include_url=False)
    consequences = ("too_short", "default_factory_not_called")
    return [details for details in found if details["type"] not in consequences or len(found) == 1]


def _with_family_defaults(train: Any, family: Family) -> Any:
    """Return the ``train:`` section with the family's own defaults for the keys that it leaves out."""
    if train is not None and not isinstance(train, dict):
        return train
    written = train or {}
    length = ("epochs", "steps")
    known = set(written) | (set(length) if any(key in written for key in length) else set())
    return {**{key: value for key, value in family.train.items() if key not in known}, **written}


def _family(tree: dict[Any, Any], path: Path) -> Family:
    """Return the family that ``model.family`` names."""
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
    return get_family(family)


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
    shown = list(problems[:_SHOWN])
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more problems")
    return RecipeError("\n".join(f"{path}: {problem}" for problem in shown))
