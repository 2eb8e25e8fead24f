"""Parses JSON from outside strictly, so that every reader of a file sees the same values."""

from __future__ import annotations

import json
import math
from typing import Any

DEPTH_LIMIT = 64
"""Most arrays and objects inside each other."""
_BITS = 64
"""Most bits of an integer, without its sign."""


def parse_json(content: bytes) -> Any:
    """Return the value in UTF-8 encoded JSON.

    Raises ValueError for what JSON leaves open or readers treat differently: a key that is given twice, NaN and
    infinity (also as ``1e999``), integers beyond 64 bits, half a surrogate pair, a byte order mark, and nesting deeper
    than DEPTH_LIMIT.
    """
    try:
        data = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except RecursionError:
        raise _too_deep() from None
    _check(data)
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:60]!r} is given twice")
            seen.add(key)
    return found


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:60]} is beyond the range of a number")
    return value


def _integer(text: str) -> int:
    if len(text) > 21 or abs(int(text)) >= 1 << _BITS:
        raise ValueError(f"{text[:60]} is longer than {_BITS} bits")
    return int(text)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _check(data: Any) -> None:
    """Raise ValueError for values nested too deep and for text that cannot be encoded."""
    level = [data]
    for _ in range(DEPTH_LIMIT + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                value.encode()  # UnicodeEncodeError is a ValueError
            elif isinstance(value, list):
                below += value
            elif isinstance(value, dict):
                below += value
                below += value.values()
        if not below:
            return
        level = below
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"arrays and objects are nested more than {DEPTH_LIMIT} deep")
