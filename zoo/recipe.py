"""Recipes: one YAML file per model that holds everything needed to make it again.

``load_recipe`` finds, reads, overrides and validates one; every problem it finds is one line of its error.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SerializeAsAny, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sdk.errors import CellzooError
from zoo.families import family_names, get_family
from zoo.families.base import FamilyConfig
from zoo.schema import DataConfig, ExportConfig, Section, TrainConfig

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SECTIONS: dict[str, Any] = {"data": DataConfig, "train": TrainConfig, "export": ExportConfig}


class RecipeError(CellzooError):
    """A recipe that cannot be found, read or used; one line per problem."""


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
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, width=110)

    def sha256(self) -> str:
        """Hash of the resolved recipe: equal for recipes that mean the same."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def recipe_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).parent
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
    tree = _read(path)
    for override in overrides:
        _override(tree, override)
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
        raise RecipeError(f"unknown recipe {text!r}{_hint(text, names)}; there are: {', '.join(names)}")
    return recipe_folder() / f"{text}.yaml"


def _hint(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


# --- reading ---


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error and ``3e-4`` is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # refused as unhashable below
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def _parse(text: str, where: str) -> Any:
    try:
        # _Loader is a SafeLoader: plain values only.
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise RecipeError(f"{where}:{place} {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: not YAML: {' '.join(str(error).split())}") from None


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: should be a mapping with the sections model, data and train, found {_show(tree)}")
    return tree


def _override(tree: dict[Any, Any], override: str) -> None:
    """Set ``key.path=value`` in the tree, in place."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise RecipeError(f"override {override!r}: should be key.path=value, such as train.epochs=5")
    value = _parse(text, f"override {override!r}")
    node = tree
    for depth, key in enumerate(keys[:-1], start=1):
        if node.get(key) is None:
            node[key] = {}
        if not isinstance(node[key], dict):
            found = _show(node[key])
            raise RecipeError(f"override {override!r}: {'.'.join(keys[:depth])} holds {found}, which has no keys")
        node = node[key]
    node[keys[-1]] = value


# --- validation ---


def _validate(tree: dict[Any, Any], path: Path) -> Recipe:
    sections = ("model", *_SECTIONS)
    problems = [
        f"{key}: unknown section{_hint(str(key), sections)}; allowed: {', '.join(sections)}"
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
            problems += [_line(section, schema, value, details) for details in error.errors(include_url=False)]
    if problems:
        raise _error(path, problems)
    return Recipe.model_construct(name=path.stem, **built)


def _model_schema(tree: dict[Any, Any], path: Path) -> type[FamilyConfig]:
    """The config class that ``model.family`` names."""
    model = tree.get("model")
    known = ", ".join(family_names())
    if not isinstance(model, dict):
        raise _error(path, [f"model: should be a mapping with a family, found {_show(model)}; families: {known}"])
    if "family" not in model:
        raise _error(path, [f"model.family: this key is missing; families: {known}"])
    family = model["family"]
    if family not in family_names():
        hint = _hint(str(family), family_names())
        raise _error(path, [f"model.family: unknown family {_show(family)}{hint}; families: {known}"])
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


def _line(section: str, schema: Any, data: Any, details: ErrorDetails) -> str:
    """One line for one of pydantic's errors: key path, what was found, what is allowed."""
    keys, schema = _descend(schema, data, details["loc"])
    place = ".".join([section, *keys])
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _keys(schema)
        return f"{place}: unknown key{_hint(keys[-1], allowed)}; allowed keys: {', '.join(allowed)}"
    if kind == "missing":
        return f"{place}: this key is missing"
    if kind == "union_tag_not_found":
        return f"{place}.name: this key is missing; allowed: {_tags(schema)}"
    if kind == "union_tag_invalid":
        return f"{place}.name: found {_show(context['tag'])}, allowed: {_tags(schema)}"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    first = message.split()[0].split(".")
    if isinstance(details["input"], dict) and first[0] in _keys(schema):
        return f"{'.'.join([place, *first])}: {message}"
    return f"{place}: found {_show(details['input'])}, {message}"


def _descend(schema: Any, data: Any, loc: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Follow pydantic's location to (the keys as in the file, the last schema that has keys of its own)."""
    keys: list[str] = []
    for key in loc:
        choices = _models(schema)
        if len(choices) > 1:  # pydantic puts the chosen variant's tag into the location
            schema = choices[str(key)]
            continue
        keys.append(str(key))
        if len(choices) == 1:
            schema = next(iter(choices.values()))
            field = schema.model_fields.get(str(key))
            if field is not None and _models(field.annotation):
                schema = field.annotation
    choices = _models(schema)
    return keys, next(iter(choices.values())) if len(choices) == 1 else schema


def _models(annotation: Any) -> dict[str, type[BaseModel]]:
    """The pydantic models in an annotation, by the ``name`` that selects each (or the class's name)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        tag = annotation.model_fields.get("name")
        return {get_args(tag.annotation)[0] if tag else annotation.__name__: annotation}
    found: dict[str, type[BaseModel]] = {}
    for argument in get_args(annotation):
        found |= _models(argument)
    return found


def _keys(schema: Any) -> list[str]:
    return list(getattr(schema, "model_fields", {}))


def _tags(schema: Any) -> str:
    return ", ".join(_models(schema))


def _show(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
