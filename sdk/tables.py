"""Raw rows of a table in every form that a model takes, matched with its columns by name.

Columns of frames, dicts and files are found by name (:mod:`sdk.column_names`), wherever they stand. Other columns, such
as the target, are ignored. Lists, tuples and arrays without names hold the columns in the model's order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.column_names import match, wanted
from sdk.column_types import Cells
from sdk.columns import Columns
from sdk.errors import InputError
from sdk.rows import Rows, as_numpy, gather, numbered
from sdk.table_files import read_file
from sdk.validation import describe


def read_rows(inputs: Any, columns: Columns, size: int) -> tuple[Iterator[Rows], bool] | None:
    """Return the rows of ``inputs`` in blocks of ``size``, and True if they are one row, not a batch.

    Return None for numbers that are no raw rows: an array or list ``[features]`` or ``[B, features]`` of encoded rows,
    which differs in width from raw rows if any column holds categories. Raises InputError.
    """
    if isinstance(inputs, Rows):
        return iter([inputs]), False
    if isinstance(inputs, (str, os.PathLike)):
        return read_file(inputs, columns, size), False
    if isinstance(inputs, Mapping):
        return _mapping(inputs, columns, size)
    if _is_frame(inputs):
        return _frame(inputs, columns, size), False
    if _is_series(inputs):
        return _items([inputs], columns, size, "the row"), True
    if isinstance(inputs, (list, tuple)):
        return _list(inputs, columns, size)
    return _array(inputs, columns, size)


def named_columns(inputs: Any) -> Columns | None:
    """Return columns of numbers with the names of a DataFrame or the like; None for data without names."""
    found = _names(inputs) if _is_frame(inputs) else []
    return Columns.of_numbers(found) if found and all(isinstance(name, str) for name in found) else None


def read_all(inputs: Any, columns: Columns) -> NDArray[np.float32] | None:
    """Return the features ``float32 [B, width]`` of all rows; None where :func:`read_rows` gives None."""
    read = read_rows(inputs, columns, 2**62)
    if read is None:
        return None
    return np.concatenate([np.empty((0, columns.width), np.float32), *(b.encode(columns, 0, None) for b in read[0])])


def _mapping(inputs: Mapping[Any, Any], columns: Columns, size: int) -> tuple[Iterator[Rows], bool]:
    """Read a row, ``{name: value}``, or columns, ``{name: [values]}``."""
    keys = list(inputs)
    values = [inputs[keys[position]] for position in match(columns.names, keys, "the row")]
    lists = [_has_length(value) for value in values]
    if not any(lists):
        return iter([Rows(1, [[value] for value in values], lambda number: "the row")]), True
    lengths = sorted({len(value) if long else 1 for value, long in zip(values, lists, strict=True)})
    if not all(lists) or len(lengths) > 1:
        raise InputError(f"the columns: found lengths {', '.join(map(str, lengths))}, allowed one for all columns")
    return _blocks([_cells(value) for value in values], lengths[0], size), False


def _frame(frame: Any, columns: Columns, size: int) -> Iterator[Rows]:
    """Read a DataFrame of pandas or polars, an Arrow table, a data set of ``datasets`` or a structured array."""
    found = _names(frame)
    chosen = match(columns.names, found, "the table")
    return _blocks([_cells(frame[found[position]]) for position in chosen], len(frame), size)


def _names(frame: Any) -> list[Any]:
    """Return the names of the columns of a frame, or of the values of a row of one."""
    if isinstance(frame, (np.ndarray, np.void)):
        return list(frame.dtype.names or ())
    if _is_series(frame):
        return list(frame.index)
    return list(frame.column_names if hasattr(frame, "column_names") else frame.columns)


def _is_frame(inputs: Any) -> bool:
    if isinstance(inputs, np.ndarray):
        return inputs.dtype.names is not None and inputs.ndim == 1
    named = hasattr(inputs, "column_names") or hasattr(inputs, "columns")
    return named and hasattr(inputs, "__getitem__") and len(getattr(inputs, "shape", ())) == 2


def _is_series(inputs: Any) -> bool:
    """Return True for a row of a DataFrame or of a structured array, which has names."""
    if isinstance(inputs, (np.void, np.ndarray)):
        return inputs.dtype.names is not None and inputs.ndim == 0
    return hasattr(inputs, "index") and hasattr(inputs, "to_dict") and getattr(inputs, "ndim", 0) == 1


def _cells(values: Any) -> Cells:
    """Return a column as an array of numbers, if it is one, or as a list."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = as_numpy(values)
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return as_numpy(values)
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def _has_length(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0


def _blocks(cells: Sequence[Cells], count: int, size: int) -> Iterator[Rows]:
    for first in range(0, count, size):
        parts = [column[first : first + size] for column in cells]
        yield Rows(min(size, count - first), parts, numbered("row", first))


def _list(inputs: Sequence[Any], columns: Columns, size: int) -> tuple[Iterator[Rows], bool] | None:
    """Read one row, or a list of rows, each with its own form."""
    if inputs and not any(_has_length(item) or isinstance(item, bytes) for item in inputs):
        if _are_features(inputs, columns):
            return None
        return _items([inputs], columns, size, "the row"), True
    if inputs and all(isinstance(item, (list, tuple, np.ndarray)) for item in inputs):
        if any(_are_features(item, columns) for item in inputs):
            return None
        if all(getattr(item, "ndim", 1) == 2 for item in inputs):
            return None
    return _items(inputs, columns, size, ""), False


def _are_features(row: Sequence[Any], columns: Columns) -> bool:
    """Return True for a row that has the width of encoded rows, and not that of raw ones."""
    return len(row) == columns.width != len(columns.columns) and getattr(row, "ndim", 1) == 1


def _array(inputs: Any, columns: Columns, size: int) -> tuple[Iterator[Rows], bool] | None:
    """Read an array without names: raw rows ``[B, columns]`` or one of them."""
    if not hasattr(inputs, "__array__"):
        return None
    array = as_numpy(inputs)
    if array.ndim not in (1, 2) or array.shape[-1] != len(columns.columns):
        return None
    rows = np.atleast_2d(array)
    cells = [_cells(rows[:, number]) for number in range(rows.shape[1])]
    return _blocks(cells, len(rows), size), array.ndim == 1


def _items(items: Sequence[Any], columns: Columns, size: int, name: str) -> Iterator[Rows]:
    """Read rows, each of which is a dict, a row of a frame, or values in order; ``name`` is that of a single row."""
    known: dict[tuple[Any, ...], list[int]] = {}
    for first in range(0, len(items), size):
        place = (lambda number: name) if name else numbered("input", first)
        yield gather(items[first : first + size], lambda item, where: _row(item, columns, where, known), place, columns)


def _row(item: Any, columns: Columns, where: str, known: dict[tuple[Any, ...], list[int]]) -> Sequence[Any]:
    """Return the cells of one row in the model's order."""
    if isinstance(item, Mapping) or _is_series(item):
        keys = tuple(item if isinstance(item, Mapping) else _names(item))
        if keys not in known:
            known[keys] = match(columns.names, keys, where)
        values = item if isinstance(item, Mapping) else dict(zip(keys, item, strict=True))
        return [values[keys[position]] for position in known[keys]]
    if not isinstance(item, (list, tuple)) and not (isinstance(item, np.ndarray) and item.ndim == 1):
        raise InputError(
            f"{where}: found {type(item).__name__} {describe(item)}, allowed a row: a dict, or a list of "
            f"{wanted(columns.names)}"
        )
    if len(item) != len(columns.columns):
        encoded = f", or of {columns.width} features" if columns.width != len(columns.columns) else ""
        raise InputError(f"{where}: found {len(item)} values, allowed {wanted(columns.names)}{encoded}")
    return list(item.tolist() if isinstance(item, np.ndarray) else item)
