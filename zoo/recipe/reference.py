"""The reference of a recipe's keys, generated from the schema.

``python -m zoo.recipe.reference`` writes the tables of docs/guides/recipe-keys.md; a test compares the page with the
schema.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from sdk.validation import hint
from zoo.config.base import LARGEST_COUNT, CountOrFraction, Section
from zoo.config.data import AugmentConfig, DataConfig
from zoo.config.export import ExportConfig
from zoo.config.train import OptimizerConfig, ScheduleConfig, TrainConfig
from zoo.families.registry import family_names, get_family, own_names
from zoo.recipe.problems import models
from zoo.utils.errors import RecipeError

BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"
_COUNT_OR_FRACTION = get_args(CountOrFraction)[1]


@dataclass(frozen=True)
class Key:
    """One key of a recipe, in words."""

    path: str
    """The key path, as in overrides and errors."""
    allowed: str
    default: str
    """YAML, ``required``, or words for a default that follows other keys."""
    meaning: str
    follows: bool = False
    """True if the default follows other keys."""


def topics() -> list[str]:
    """Return what :func:`keys_of` knows: sections and their variants, then families."""
    return ["data", *models(DataConfig), "augment", "train", "optimizer", "schedule", "export", *family_names()]


def keys_of(topic: str) -> dict[str, list[Key]]:
    """Return the keys of a topic as one table per title; raises RecipeError for an unknown topic."""
    if topic in family_names():
        return {f"model: {topic}": list(_keys(get_family(topic).config, "model"))}
    if topic in models(DataConfig):
        return {f"data: {topic}": list(_keys(models(DataConfig)[topic], "data", skip=AugmentConfig))}
    match topic:
        case "data":
            return {title: keys for name in models(DataConfig) for title, keys in keys_of(name).items()}
        case "augment":
            return {"data.augment": list(_keys(AugmentConfig, "data.augment"))}
        case "train":
            return {"train": list(_keys(TrainConfig, "train"))}
        case "optimizer":
            return _variants("train.optimizer", OptimizerConfig)
        case "schedule":
            return _variants("train.schedule", ScheduleConfig)
        case "export":
            return {"export": list(_keys(ExportConfig, "export"))}
    raise RecipeError(f"keys of {topic!r}: unknown{hint(topic, topics())}; allowed: {', '.join(topics())}")


def notes_of(topic: str) -> str:
    """Return a sentence on the family's own defaults of the ``train:`` section, or nothing."""
    family = get_family(topic) if topic in family_names() else None
    if family is None or not family.train:
        return ""
    keys = " and ".join(f"`{key}: {_yaml(value)}`" for key, value in family.train.items())
    return f"In `train:`, this family's own defaults are {keys}: {family.train_reason}."


def markdown() -> str:
    """Return the tables of all topics as Markdown."""
    parts: list[str] = []
    for topic in ("data", "augment", "train", "optimizer", "schedule", "export", *own_names()):
        for title, keys in keys_of(topic).items():
            parts += [f"### {title}", ""]
            parts += ["| key | allowed | default | meaning |", "|---|---|---|---|"]
            parts += [
                f"| `{key.path}` | {_cell(key.allowed)} | {_default_cell(key)} | {_cell(key.meaning)} |" for key in keys
            ]
            parts.append("")
        if notes_of(topic):
            parts += [*textwrap.wrap(notes_of(topic), 120), ""]
    return "\n".join(parts)


def write(page: Path) -> bool:
    """Replace the tables between the page's markers; return True if that changed the page."""
    before = page.read_text(encoding="utf-8")
    after = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{markdown()}\n{END}", before, flags=re.DOTALL)
    page.write_text(after, encoding="utf-8")
    return after != before


def _variants(place: str, union: Any) -> dict[str, list[Key]]:
    return {f"{place}: {name}": list(_keys(schema, place)) for name, schema in models(union).items()}


def _keys(schema: type[Section], place: str, skip: type[Section] | None = None) -> Iterator[Key]:
    """Yield the keys of a section, those of its subsections after each; ``skip`` is a subsection to leave out."""
    fields = schema.model_fields
    for name in sorted(fields, key=lambda name: name not in ("family", "name")):
        field = fields[name]
        path = f"{place}.{name}"
        inner = models(field.annotation)
        allowed, default = _allowed(field.annotation, field.metadata), _default(name, field)
        yield Key(path, allowed, default, _meaning(field), follows=_followed(field) is not None)
        if len(inner) > 1 and place != "train":
            yield Key(f"{path}.name", ", ".join(inner), "required", f"The name of the {name}.")
            yield from _keys_of_variants(inner, path)
        elif len(inner) == 1 and skip not in inner.values():
            inside = f"{path}.N" if get_origin(field.annotation) is tuple else path
            yield from _keys(next(iter(inner.values())), inside)


def _keys_of_variants(variants: dict[str, type[Section]], path: str) -> Iterator[Key]:
    """Yield the keys of sections of which one is chosen by its name, each with the name of its section."""
    for variant, section in variants.items():
        for key in _keys(section, path):
            if key.path != f"{path}.name":
                yield replace(key, meaning=f"{variant}: {key.meaning}")


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """Describe a type and its bounds."""
    if get_origin(annotation) is Annotated:
        annotation, *inner = get_args(annotation)
        return _allowed(annotation, [*inner, *metadata])
    if _COUNT_OR_FRACTION in metadata:
        return "count ≥ 0, or fraction in [0, 1)"
    inner_models = models(annotation)
    arguments = get_args(annotation)
    optional = " or null" if type(None) in arguments else ""
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, arguments))
    if get_origin(annotation) is tuple:
        return _list(arguments, metadata)
    if inner_models:
        named = all("name" in model.model_fields for model in inner_models.values()) and len(inner_models) > 1
        return (f"section with name: {', '.join(inner_models)}" if named else "section") + optional
    choices = [choice for choice in arguments if choice is not type(None)]
    if choices:
        return " or ".join(_allowed(choice, metadata) for choice in choices) + optional
    word = {int: "integer", float: "number", bool: "true, false", str: "text"}[annotation]
    return f"{word} {_range(_bounds(metadata))}".strip()


def _bounds(metadata: list[Any]) -> dict[str, Any]:
    """Return the bounds in the metadata of a type by pydantic's names: gt, ge, lt, le, min_length, max_length."""
    bounds: dict[str, Any] = {}
    for item in metadata:
        bounds |= _bounds(item.metadata) if isinstance(item, FieldInfo) else {}
        for key in ("gt", "ge", "lt", "le", "min_length", "max_length"):
            value = None if isinstance(item, FieldInfo) else getattr(item, key, None)
            bounds |= {} if value is None else {key: value}
    return bounds


def _range(bounds: dict[str, Any]) -> str:
    if bounds.get("le") == LARGEST_COUNT:  # a bound of the machine, not of the key
        bounds = {key: value for key, value in bounds.items() if key != "le"}
        bounds = {"gt": 0} if bounds.get("ge") == 1 else bounds
    low = next((f"{sign}{_yaml(bounds[key])}" for key, sign in (("gt", "("), ("ge", "[")) if key in bounds), "")
    high = next((f"{_yaml(bounds[key])}{sign}" for key, sign in (("lt", ")"), ("le", "]")) if key in bounds), "")
    if low and high:
        return f"in {low}, {high}"
    if low:
        return f"{'≥' if low[0] == '[' else '>'} {low[1:]}"
    return f"{'≤' if high[-1] == ']' else '<'} {high[:-1]}" if high else ""


def _list(arguments: tuple[Any, ...], metadata: list[Any]) -> str:
    inner = "sections" if models(arguments[0]) else _allowed(arguments[0], [])
    if arguments[-1] is not Ellipsis:
        return f"list of {len(arguments)}: {inner}"
    bounds = _bounds(metadata)
    least, most = bounds.get("min_length"), bounds.get("max_length")
    length = f" {least or 0} to {most}" if most else f" at least {least}" if least else ""
    return f"list of{length}: {inner}"


def _default(name: str, field: FieldInfo) -> str:
    if name in ("family", "name") and get_origin(field.annotation) is Literal and field.default in (name, ...):
        return "required"
    followed = _followed(field)
    if followed is not None:
        return followed
    if field.is_required() or name == "family":
        return "required"
    value = field.default
    if isinstance(value, Section):
        return f"name: {value.name}" if hasattr(value, "name") else ""
    if isinstance(value, tuple) and value and isinstance(value[0], Section):
        return "; ".join(_yaml(item.model_dump(mode="json")) for item in value)
    return _yaml(value)


def _followed(field: FieldInfo) -> str | None:
    """Return the words for a default that follows other keys, else None."""
    extra = field.json_schema_extra
    return str(extra["default"]) if isinstance(extra, dict) and "default" in extra else None


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default_cell(key: Key) -> str:
    if key.default == "required":
        return "**required**"
    return f"`{key.default}`" if key.default and not key.follows else key.default


def main() -> None:
    """Write the page that the only argument names, or docs/guides/recipe-keys.md."""
    page = Path(*sys.argv[1:2]) if sys.argv[1:] else Path("docs/guides/recipe-keys.md")
    print(f"{page}: {'written' if write(page) else 'unchanged'}")


if __name__ == "__main__":
    main()
