"""The columns of a table that a model takes, and the arithmetic from raw cells to the numbers of the input spec.

An artifact stores its columns in config.json as ``provenance.data.columns``, a list in the order of the features::

    {"name": "age", "kind": "number", "example": 36.0, "fill": 38.2}
    {"name": "colour", "kind": "category", "categories": ["blue", "red"], "example": "red"}

A number is one feature, which ``mean`` and ``std`` of the input spec standardise. A category is one feature per
category, 1 for the cell's own and 0 for the others. Training encodes its tables with the same code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.column_types import Cells, Column, Number, listed, parse_column
from sdk.errors import InputError
from sdk.validation import check_list


@dataclass(frozen=True)
class Columns:
    """The columns of a model in the order of its features."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each column."""
        return tuple(column.name for column in self.columns)

    @property
    def width(self) -> int:
        """Number of features: one per number and one per category."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each feature: that of a number's column, or ``column=category``."""
        named = ([c.name] if isinstance(c, Number) else [f"{c.name}={k}" for k in c.categories] for c in self.columns)
        return tuple(name for names in named for name in names)

    @property
    def fills(self) -> bool:
        """True if a missing value of some column is filled."""
        return any(column.fill is not None for column in self.columns)

    def example(self) -> dict[str, Any]:
        """Return a typical row; of a model that stores none, one of zeros and first categories."""
        return {c.name: c.example if c.example is not None else _plain_example(c) for c in self.columns}

    def encode(self, cells: Sequence[Cells], csv: bool = False) -> NDArray[np.float32]:
        """Return features ``float32 [B, width]`` from the cells of each column.

        Numbers are raw and are standardised by the input spec. Raises CellError.
        """
        parts = [column.encode(given, csv) for column, given in zip(self.columns, cells, strict=True)]
        return np.concatenate(parts, axis=1)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the entry of config.json; :meth:`from_json` reads it."""
        return [column.to_json() for column in self.columns]

    @classmethod
    def from_json(cls, data: object, width: int) -> Columns:
        """Read the entry of a config.json whose input has ``width`` features; raises InputError."""
        entries = check_list(data, dict, "columns")
        columns = cls(tuple(parse_column(entry, f"columns[{number}]") for number, entry in enumerate(entries)))
        repeated = [name for name, count in Counter(columns.names).items() if count > 1]
        if repeated:
            raise InputError(f"columns: found {listed(repeated)} more than once, allowed each name once")
        if columns.width != width:
            raise InputError(f"columns have {columns.width} features, and the input has {width}")
        return columns

    @classmethod
    def of_numbers(cls, names: Iterable[str]) -> Columns:
        """Return columns of numbers with these names."""
        return cls(tuple(Number(name) for name in names))


def _plain_example(column: Column) -> Any:
    return 0.0 if isinstance(column, Number) else column.categories[0]
