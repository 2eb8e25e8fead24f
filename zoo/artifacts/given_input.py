"""The ``input`` argument of ``zoo.save``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from sdk.columns import Columns
from sdk.errors import InputError
from sdk.inputs import InputSpec
from sdk.validation import describe, is_integer


def read_input(given: InputSpec | Mapping[str, Any] | tuple[int, ...]) -> InputSpec:
    """Return the input spec; a shape alone means an image or a table that was not normalised."""
    if isinstance(given, InputSpec):
        return given
    parts: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"shape": given}
    unknown = sorted(parts.keys() - {"kind", "shape", "mean", "std", "resize", "columns"})
    if unknown or "shape" not in parts:
        found = f"unknown {', '.join(map(repr, unknown))}" if unknown else "no 'shape'"
        raise InputError(f"input: {found}; allowed: shape, and kind, mean, std, resize, columns")
    shape = parts["shape"]
    if not isinstance(shape, (list, tuple)) or not all(is_integer(n) for n in shape) or len(shape) not in (1, 3):
        raise InputError(f"input shape: found {describe(shape)}, allowed (C, H, W) for images, (features,) for tables")
    shape = tuple(map(int, shape))
    count = shape[0]
    return InputSpec(
        kind=parts.get("kind", "image" if len(shape) == 3 else "table"),
        shape=shape,
        mean=_numbers(parts.get("mean", 0.0), count),
        std=_numbers(parts.get("std", 1.0), count),
        resize=parts.get("resize"),
        columns=_columns(parts.get("columns"), count),
    )


def _columns(given: Any, count: int) -> Columns | None:
    """Return a table's columns from their names, or from entries as config.json has them."""
    if given is None or isinstance(given, Columns):
        return given
    unordered = isinstance(given, (str, AbstractSet, Mapping))
    if unordered or not isinstance(given, Iterable):
        raise InputError(f"input columns: found {describe(given)}, allowed a list of the columns' names")
    return Columns.from_json([{"name": c, "kind": "number"} if isinstance(c, str) else c for c in given], count)


def _numbers(given: Any, count: int) -> tuple[float, ...]:
    """Return one number per channel or feature, from a number for all of them, or from a list, array or tensor."""
    values = given.tolist() if hasattr(given, "tolist") else given
    try:
        if isinstance(values, (list, tuple)):
            return tuple(float(value) for value in values)
        return (float(values),) * max(count, 0)
    except (TypeError, ValueError):
        raise InputError(f"input mean, std: found {describe(given)}, allowed a number or a list of numbers") from None
