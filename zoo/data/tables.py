"""Tables: columns of numbers and categories as the features of a network.

- Input: float32 ``[features]``: one feature per column of numbers, and one per category of a column of texts or
  booleans, 1 for the row's own category and 0 for the others (:mod:`sdk.columns`, which also encodes for predictions).
- Kinds: a column whose training cells are all numbers, or texts that spell numbers, is one of numbers; other texts and
  booleans are categories. A text among more than 20 different numbers is an error. Columns with a single value are left
  out.
- Missing values: an error, or with ``fill: mean`` the mean of the training numbers, and the most frequent category.
- Categories: those of the training rows. Validation and test rows with another one are left out, as the model takes no
  such rows; more than 5 % of them are an error.
- Normalisation: numbers minus the mean of the training part, over its standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk.cells import is_missing, number_of
from sdk.column_types import Category, CellError, Column, Number, listed
from sdk.columns import Columns
from sdk.errors import InputError
from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig
from zoo.data.column_kinds import choose_column, spells_number
from zoo.data.split import ArraySplit, Data
from zoo.utils.errors import DataError

UNKNOWN_SHARE = 0.05
"""Largest share of validation or test rows that may be left out for an unknown category."""
_SHOWN = 5
_FEW_ROWS = 20
"""Rows below which numbers may count up by chance."""
_ROW_NUMBERS = "column {} numbers the rows, which tells nothing of new ones; data.input without it leaves it out"
_SAYS_CLASS = (
    "column {} has a value of its own for each class, as a second target has; data.input without it leaves it out"
)


@dataclass(frozen=True)
class TablePart:
    """The rows of one split, column by column."""

    columns: Mapping[str, Sequence[Any]]
    """Raw cells ``[N]`` per column: numbers, texts, booleans and None."""
    labels: Tensor
    """``[N]``, int64, the class of each row."""
    rows: Sequence[int]
    """The number of each row in its source, for errors."""
    name: str
    """The name of the source, for errors."""

    def place(self, numbers: Sequence[int]) -> str:
        """Name rows, given by their positions in the part, as errors do."""
        shown = ", ".join(str(self.rows[number]) for number in numbers[:_SHOWN])
        more = f", ... ({len(numbers)} rows)" if len(numbers) > _SHOWN else ""
        return f"{self.name}, row{'s' if len(numbers) > 1 else ''} {shown}{more}"

    def keep(self, numbers: Sequence[int]) -> TablePart:
        """Return these rows of the part."""
        cells = {name: [cells[number] for number in numbers] for name, cells in self.columns.items()}
        return TablePart(cells, self.labels[list(numbers)], [self.rows[number] for number in numbers], self.name)


def load_tables(
    parts: Mapping[str, TablePart], names: list[str], fill: str | None = None, workers: int = 0, origin: str = ""
) -> Data:
    """Return the data set of the parts "train", "validation" and "test", which have the same columns.

    ``names`` are those of the classes, ``fill`` is None or "mean", ``origin`` says in :attr:`Data.about` where the rows
    are from. Raises DataError, which names column and rows, for cells that cannot be used.
    """
    parts = {role: _stripped(part) for role, part in parts.items()}
    if fill is None:
        _refuse_missing(parts)
    training = parts["train"]
    chosen = {name: choose_column(name, cells, fill, training.place) for name, cells in training.columns.items()}
    constant = [name for name, column in chosen.items() if column is None]
    columns = Columns(tuple(column for column in chosen.values() if column is not None))
    if not columns.columns:
        raise DataError(f"{training.name}: found the same value in every training row of {listed(constant)}; no column "
                        "is left")  # fmt: skip
    notes = [f"left out {listed(constant)}, with the same value in every training row"] if constant else []
    notes += [
        _ROW_NUMBERS.format(listed([column.name])) for column in columns.columns if _numbers_rows(column, training)
    ]
    notes += [note for column in columns.columns if (note := _mixture(column))]
    notes += [_SAYS_CLASS.format(listed([name])) for name in columns.names if _says_class(name, training)]
    known = {role: part if role == "train" else _known(part, columns, notes) for role, part in parts.items()}
    inputs = {role: _encode(part, columns) for role, part in known.items()}
    notes += _repeated(inputs)
    spec = _spec(columns, inputs["train"], training)
    splits = {
        role: ArraySplit(torch.from_numpy(inputs[role]), part.labels, spec, AugmentConfig(), workers)
        for role, part in known.items()
    }
    counts = ", ".join(f"{len(part.labels)} for {role}" for role, part in known.items())
    about = f"{origin}: {len(columns.columns)} columns ({columns.width} features), {len(names)} classes; {counts}"
    return Data(
        splits["train"],
        splits["validation"],
        splits["test"],
        input_spec=spec,
        labels=names,
        about="; ".join([about, *notes]),
    )


def _numbers_rows(column: Column, training: TablePart) -> bool:
    """Return True for a column that counts the rows of the source, as an index that was written with them does.

    Where the rows are sorted by class, a model reads the class from it, and its accuracy on held-out rows is false.
    """
    cells = training.columns[column.name]
    if not isinstance(column, Number) or len(cells) < _FEW_ROWS or any(map(is_missing, cells)):
        return False
    return len({number_of(cell) - row for cell, row in zip(cells, training.rows, strict=True)}) == 1


def _says_class(name: str, training: TablePart) -> bool:
    """Return True for a column whose values and the classes are one to one, as a class and its number are."""
    pairs = set(zip(map(str, training.columns[name]), training.labels.tolist(), strict=True))
    return len(pairs) == len({cell for cell, _ in pairs}) == len({label for _, label in pairs})


def _mixture(column: Column) -> str:
    """Return a line about categories of which some spell numbers and some do not, such as 1, 2 and ?; else nothing."""
    others = [] if isinstance(column, Number) else [text for text in column.categories if not spells_number(text)]
    if not others or len(others) == column.width:
        return ""
    return f"column {listed([column.name])} holds numbers and texts, such as {listed(others[:1])}: all are categories"


def _stripped(part: TablePart) -> TablePart:
    """Return the part with names of columns without the spaces around them."""
    columns = {name.strip(): cells for name, cells in part.columns.items()}
    if "" in columns or len(columns) < len(part.columns):
        found = listed(list(part.columns))
        raise DataError(f"{part.name}: found the columns {found}, allowed a name of its own for each")
    return replace(part, columns=columns)


def _refuse_missing(parts: Mapping[str, TablePart]) -> None:
    for part in parts.values():
        for name, cells in part.columns.items():
            missing = [number for number, cell in enumerate(cells) if is_missing(cell)]
            if missing:
                raise DataError(
                    f"{part.place(missing)}: column {name!r}: found no value; set data.fill to mean, which fills in "
                    "the mean or the most frequent category of the training rows, or leave the column or the rows out"
                )


def _known(part: TablePart, columns: Columns, notes: list[str]) -> TablePart:
    """Return the rows whose categories the training rows have; add a note on those that are left out."""
    unknown: dict[int, str] = {}
    for column in columns.columns:
        if isinstance(column, Category):
            unknown |= dict.fromkeys(_unknown_rows(column, part.columns[column.name]), column.name)
    if not unknown:
        return part
    rows = sorted(unknown)
    found = f"{part.place(rows)}: categories of {listed(sorted(set(unknown.values())))} that no training row has"
    if len(rows) > UNKNOWN_SHARE * len(part.labels):
        raise DataError(
            f"found in {found}, allowed in {UNKNOWN_SHARE:.0%} of the rows; merge rare categories, leave the column "
            "out, or choose another data.seed"
        )
    notes.append(f"left out {len(rows)} of {len(part.labels)} rows of {found}")
    kept = part.keep([number for number in range(len(part.labels)) if number not in unknown])
    if set(kept.labels.tolist()) < set(part.labels.tolist()):
        raise DataError(f"found in {found}; without these rows a class would have none; choose another data.seed")
    return kept


def _unknown_rows(column: Category, cells: Sequence[Any]) -> list[int]:
    known = set(column.categories)
    if all(type(cell) is str and cell.strip() in known for cell in cells):
        return []
    return [number for number, cell in enumerate(cells) if not is_missing(cell) and not column.knows(cell)]


def _encode(part: TablePart, columns: Columns) -> NDArray[np.float32]:
    missing = [name for name in columns.names if name not in part.columns]
    if missing:
        raise DataError(f"{part.name}: found no column {listed(missing)}, allowed those of the training rows")
    try:
        return columns.encode([part.columns[name] for name in columns.names])
    except CellError as error:
        raise DataError(f"{part.place([error.row])}: {error}") from None
    except InputError as error:
        raise DataError(f"{part.name}: {error}") from None


def _repeated(inputs: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Return a line on the validation and test rows whose cells a training row has; none without any."""
    trained = {row.tobytes() for row in inputs["train"]}
    others = [row for role, rows in inputs.items() if role != "train" for row in rows]
    count = sum(row.tobytes() in trained for row in others)
    return [f"{count} of {len(others)} validation and test rows are also in training"] if count else []


def _spec(columns: Columns, inputs: NDArray[np.float32], training: TablePart) -> InputSpec:
    """Return the input spec: mean and population standard deviation of each number, 0 and 1 for categories."""
    mean, std = np.zeros(columns.width), np.ones(columns.width)
    first = 0
    for column in columns.columns:
        if isinstance(column, Number):
            values = inputs[:, first].astype(np.float64)
            mean[first], std[first] = values.mean(), values.std()
            step = float(np.spacing(np.float32(np.abs(values).max())))
            if std[first] < 100 * step:
                raise DataError(
                    f"{training.name}: column {column.name!r}: found numbers up to {np.abs(values).max():g} that "
                    f"deviate by {std[first]:.3g} in float32, whose steps there are {step:.3g}; subtract a constant "
                    "from the column, or leave it out"
                )
        first += column.width
    return InputSpec(
        kind="table", shape=(columns.width,), mean=tuple(mean.tolist()), std=tuple(std.tolist()), columns=columns
    )
