"""Blocks of raw rows of a table, in the order of a model's columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.column_types import CellError, Cells
from sdk.columns import Columns
from sdk.errors import InputError


@dataclass(frozen=True)
class Rows:
    """Consecutive rows: the raw cells of each of the model's columns."""

    count: int
    """Number of rows, those in ``bad`` included."""
    cells: Sequence[Cells]
    """Per column of the model, those of the rows that are not ``bad``."""
    place: Callable[[int], str]
    """Names a row of these in errors, given its number from 0."""
    bad: Mapping[int, InputError] = field(default_factory=dict)
    """Rows that could not be read, by number from 0."""
    csv: bool = False
    """True if the cells are texts of a CSV file."""

    def encode(self, columns: Columns, first: int, failures: dict[int, InputError] | None) -> NDArray[np.float32]:
        """Return features ``float32 [B, width]``; raises InputError naming place and column.

        With ``failures``, rows that cannot be used are left out, and their errors are recorded there by number, which
        is ``first`` for the first of these rows.
        """
        if self.bad and failures is None:
            raise self.bad[min(self.bad)]
        good = [number for number in range(self.count) if number not in self.bad] if self.bad else range(self.count)
        if failures is not None:
            failures.update({first + number: error for number, error in self.bad.items()})
        try:
            return columns.encode(self.cells, self.csv)
        except CellError as error:
            if failures is None:
                raise InputError(f"{self.place(good[error.row])}: {error}") from None
        parts = [np.empty((0, columns.width), np.float32)]
        for row, number in enumerate(good):
            try:
                parts.append(columns.encode([cells[row : row + 1] for cells in self.cells], self.csv))
            except CellError as error:
                failures[first + number] = InputError(f"{self.place(number)}: {error}")
        return np.concatenate(parts)


def gather(
    items: Sequence[Any], read: Callable[[Any, str], Sequence[Any]], place: Callable[[int], str], columns: Columns
) -> Rows:
    """Return the rows that ``read(item, place)`` returns as cells; the InputErrors that it raises are bad rows."""
    rows: list[Sequence[Any]] = []
    bad: dict[int, InputError] = {}
    for number, item in enumerate(items):
        try:
            rows.append(read(item, place(number)))
        except InputError as error:
            bad[number] = error
    cells: list[Cells] = list(zip(*rows, strict=True)) if rows else [()] * len(columns.columns)
    return Rows(len(items), cells, place, bad)


def numbered(what: str, first: int) -> Callable[[int], str]:
    """Return a function that names rows ``WHAT first``, ``WHAT first + 1`` and so on."""
    return lambda number: f"{what} {first + number}"


def as_numpy(values: Any) -> NDArray[Any]:
    """Return a sequence, a tensor or anything else with ``__array__`` as an array.

    Raises InputError, also for masked values, behind which numpy would read on.
    """
    try:
        if hasattr(values, "detach") and hasattr(values, "cpu"):  # a tensor, which may need gradients or a device
            values = values.detach().cpu()
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise InputError("found masked values, allowed an array without; fill them in")
        return np.asarray(values)
    except InputError:
        raise
    except Exception as error:  # ``__array__`` is code of the caller's library
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{type(values).__name__} is not an array: {reason}") from error
