"""Describes each of pydantic's errors in one line."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

from pydantic_core import ErrorDetails

from sdk.validation import hint
from zoo.config.base import Section


def problem_line(section: str, schema: Any, data: Any, details: ErrorDetails) -> str:
    """Describe one of pydantic's errors in one line: the key path, the value found, the values allowed."""
    keys, schema = _descend(schema, data, details["loc"])
    place = ".".join([section, *keys])
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _keys(schema)
        return f"{place}: unknown key{hint(keys[-1], allowed)}; allowed keys: {', '.join(allowed)}"
    if kind == "missing":
        what = "value" if keys and keys[-1].isdigit() else "key"
        return f"{place}: this {what} is missing{_example(schema, keys[-1])}"
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
    plain = False
    for key in loc:
        if plain:  # an entry of a list, or the name of a variant among plain types
            keys += [str(key)] if isinstance(key, int) else []
            continue
        choices = models(schema)
        if len(choices) > 1:  # pydantic adds the tag of the chosen variant to the location
            schema = choices[str(key)]
            continue
        keys.append(str(key))
        if len(choices) == 1:
            schema = next(iter(choices.values()))
            field = schema.model_fields.get(str(key))
            if field is not None and models(field.annotation):
                schema = field.annotation
            else:
                plain = field is not None
    choices = models(schema)
    return keys, next(iter(choices.values())) if len(choices) == 1 else schema


def models(annotation: Any) -> dict[str, type[Section]]:
    """Return the sections in an annotation by the ``name`` that selects each, or else by class name."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        tag = annotation.model_fields.get("name")
        selects = tag is not None and get_origin(tag.annotation) is Literal
        return {get_args(tag.annotation)[0] if tag and selects else annotation.__name__: annotation}
    found: dict[str, type[Section]] = {}
    for argument in get_args(annotation):
        found |= models(argument)
    return found


def _example(schema: Any, key: str) -> str:
    """Return "; write KEY: VALUE" with the schema's example of a required key."""
    field = getattr(schema, "model_fields", {}).get(key)
    return f"; write {key}: {json.dumps(field.examples[0])}" if field is not None and field.examples else ""


def _keys(schema: Any) -> list[str]:
    return list(getattr(schema, "model_fields", {}))


def _tags(schema: Any) -> str:
    return ", ".join(models(schema))
