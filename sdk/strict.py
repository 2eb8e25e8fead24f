"""Strict reading of JSON objects: what is missing, unknown or of the wrong type is named, never guessed."""

from __future__ import annotations

import math
from typing import Any

_NAMES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def check_keys(data: object, required: set[str], optional: frozenset[str], what: str) -> dict[str, Any]:
    """``data`` as a dict with exactly these keys; raises ValueError naming the missing and unknown ones."""
    if not isinstance(data, dict):
        raise ValueError(f"{what} must be an object, found {describe(data)}")
    missing = sorted(required - data.keys())
    if missing:
        raise ValueError(f"{what} lacks {', '.join(map(repr, missing))}")
    unknown = sorted(data.keys() - required - optional)
    if unknown:
        allowed = ", ".join(sorted(required | optional))
        raise ValueError(f"{what} has unknown {', '.join(map(repr, unknown))}; allowed: {allowed}")
    return data


def check_type(value: object, kind: type, what: str) -> Any:
    """``value`` when it is a ``kind`` (an int is a float, a bool is no number); else ValueError."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise ValueError(f"{what} must be {_NAMES[kind]}, found {describe(value)}")
    if kind is not float:
        return value
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number, found {describe(value)}")
    return number


def check_list(value: object, kind: type, what: str) -> tuple[Any, ...]:
    """``value`` as a tuple when it is a list of ``kind``; else ValueError naming the element."""
    items = check_type(value, list, what)
    return tuple(check_type(item, kind, f"{what}[{i}]") for i, item in enumerate(items))


def describe(value: object) -> str:
    """A value as an error shows it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
