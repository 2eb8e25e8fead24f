"""Tables of a data set that ``datasets`` reads; :mod:`zoo.data.tables` says how their columns become features."""

from __future__ import annotations

import re
from typing import Any

import datasets

from sdk.column_types import listed
from sdk.validation import hint
from zoo.config.data import DatasetConfig
from zoo.data.dataset_parts import Part
from zoo.data.split import Data
from zoo.data.tables import TablePart, load_tables
from zoo.utils.errors import DataError

_INDEX = re.compile(r"__index_level_\d+__")
"""The names that pandas gives to an index without a name when it writes Parquet; tables of predictions lack it."""


def load_table(parts: dict[str, Part], target: str, names: list[str], config: DatasetConfig, origin: str) -> Data:
    """Return the columns that the config chooses, by default all but the target and an index that pandas wrote.

    ``names`` are those of the classes.
    """
    columns = _columns(list(parts["train"].rows.features), target, config)
    tables = {role: _table(part, columns, origin) for role, part in parts.items()}
    return load_tables(tables, names, config.fill, config.workers, origin)


def _columns(found: list[str], target: str, config: DatasetConfig) -> list[str]:
    wanted = (config.input,) if isinstance(config.input, str) else config.input
    if wanted is None:
        wanted = tuple(name for name in found if name != target and not _INDEX.fullmatch(name))
    for name in wanted:
        if name not in found:
            raise DataError(f"data.input: found {name}{hint(name, found)}, allowed: {', '.join(found)}")
        if name == target:
            raise DataError(f"data.input: found {name}, which is the target; leave it out")
    if not wanted:
        raise DataError(f"found no column but the target {target}, allowed at least one to predict it from")
    if len(set(wanted)) < len(wanted):
        raise DataError(f"data.input: found {listed(wanted)}, allowed each column once")
    return list(wanted)


def _table(part: Part, columns: list[str], origin: str) -> TablePart:
    place = f"{origin}, split {part.name}"
    missing = [name for name in columns if name not in part.rows.features]
    if missing:
        raise DataError(f"{place}: found no column {listed(missing)}, allowed the columns of the training split")
    indices = part.indices.tolist()
    rows = part.rows.select_columns(columns)[indices]
    cells = {name: _named(rows[name], part.rows.features[name]) for name in columns}
    return TablePart(cells, part.labels, indices, place)


def _named(cells: list[Any], feature: Any) -> list[Any]:
    """Return the cells of a column, class labels by name."""
    if not isinstance(feature, datasets.ClassLabel):
        return cells
    return [None if cell is None or cell < 0 else feature.int2str(cell) for cell in cells]
