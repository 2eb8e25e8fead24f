"""Describes each of pydantic's errors in one line."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sdk.validation import hint


def problem_line(section: str, schema: Any, data: Any, details: ErrorDetails) -> str:
    """Describe one of pydantic's errors in one line: the key path, the value found, the values allowed."""
    keys, schema = _descend(schema, data, details["loc"])
    place = ".".join([section, *keys])
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _keys(schema)
        return f"{place}: unknown key{hint(keys[-1], allowed)}; allowed keys: {', '.join(allowed)}"
    if kind == "missing":
        return f"{place}: this key is missing"
    if kind == "union_tag_not_found":
        return f"{place}.name: this key is missing; allowed: {_tags(schema)}"
    if kind == "union_tag_invalid":
        return f"{place}.name: found {show_value(context['tag'])}, allowed: {_tags(schema)}"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "should")
    first = message.split()[0].split(".")
    if isinstance(details["input"], dict) and first[0] in _keys(schema):
        return f"{'.'.join([place, *first])}: {message}"
    return f"{place}: found {show_value(details['input'])}, {message}"


def show_value(value: Any) -> str:
    """Show a value as JSON of at most 80 characters."""
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _descend(schema: Any, data: Any, loc: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Follow pydantic's location; return the keys as in the file, and the last schema that has keys."""
    keys: list[str] = []
    for key in loc:
        choices = _models(schema)
        if len(choices) > 1:  # pydantic adds the tag of the chosen variant to the location
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
    """Return the pydantic models in an annotation by the ``name`` that selects each, or else by class name."""
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
