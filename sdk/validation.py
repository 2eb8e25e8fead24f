"""Checks of values from outside: arguments of calls, and fields of JSON objects.

A value that is missing, unknown or of the wrong type is named, never guessed. Every check raises InputError; a caller
that reads a file turns it into the error that names the file.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

from sdk.errors import InputError

_TYPE_NAMES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def is_integer(value: object) -> TypeGuard[int | np.integer[Any]]:
    """True for an integer, one of numpy's included; a bool is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_positive(value: object, name: str) -> int:
    """Return ``value`` as an int if it is a positive integer."""
    if not is_integer(value) or value < 1:
        raise InputError(f"{name} must be a positive integer, found {describe(value)}")
    return int(value)


def check_keys(data: object, required: set[str], optional: frozenset[str], name: str) -> dict[str, Any]:
    """Return ``data`` if it is a dict with the required keys, any of the optional ones and no others."""
    if not isinstance(data, dict):
        raise InputError(f"{name} must be an object, found {describe(data)}")
    missing = sorted(required - data.keys())
    if missing:
        raise InputError(f"{name} lacks {', '.join(map(repr, missing))}")
    unknown = sorted(data.keys() - required - optional)
    if unknown:
        allowed = ", ".join(sorted(required | optional))
        raise InputError(f"{name} has unknown {', '.join(map(repr, unknown))}; allowed: {allowed}")
    return data


def check_type(value: object, kind: type, name: str) -> Any:
    """Return ``value`` if it is a ``kind``: an int is also a float, a bool is neither, and floats are finite."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise InputError(f"{name} must be {_TYPE_NAMES[kind]}, found {describe(value)}")
    if kind is not float:
        return value
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number, found {describe(value)}")
    return number


def check_share(value: object, name: str) -> float:
    """Return a number in [0, 1], one of numpy's included."""
    number: float = check_type(float(value) if isinstance(value, np.floating) else value, float, name)
    if not 0 <= number <= 1:
        raise InputError(f"{name}: found {describe(value)}, allowed 0 to 1")
    return number


def check_list(value: object, kind: type, name: str) -> tuple[Any, ...]:
    """Return ``value`` as a tuple if it is a list of ``kind``; the error names the first element that is not."""
    items = check_type(value, list, name)
    return tuple(check_type(item, kind, f"{name}[{i}]") for i, item in enumerate(items))


def describe(value: object) -> str:
    """Show a value as errors do: on one line of at most 60 characters."""
    text = " ".join(line.strip() for line in repr(value).splitlines())
    return text if len(text) <= 60 else text[:57] + "..."


def hint(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the known word that is closest to a misspelt one, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""
