"""Reads CSV files for training as the SDK reads them for predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import datasets

from sdk.cells import MISSING_TEXTS
from sdk.column_names import repeated_names
from sdk.errors import InputError
from sdk.table_files import sniff
from zoo.config.data import DatasetConfig
from zoo.utils.errors import DataError


def read_csv_files(paths: Iterable[str | Path], config: DatasetConfig) -> datasets.Dataset:
    """Return the rows of CSV files: cells are texts, and those that mean "no value" are None.

    Raises DataError for a broken file: a column without a name or named twice, a row with more or fewer cells than
    names, text that is not UTF-8; and for files that differ in their columns.
    """
    parts = {str(path): _read(Path(path), config) for path in paths}
    first, *others = parts
    for path in others:
        if parts[path].column_names != parts[first].column_names:
            names = [", ".join(parts[one].column_names) for one in (path, first)]
            raise DataError(f"{path}: found the columns {names[0]}, allowed those of {first}: {names[1]}")
    return datasets.concatenate_datasets(list(parts.values()))


def _read(path: Path, config: DatasetConfig) -> datasets.Dataset:
    inputs = (config.input,) if isinstance(config.input, str) else config.input or ()
    try:
        header, _, records = sniff(path, (*inputs, *([config.target] if config.target else [])))
        lines = [found for _, found in records]
    except InputError as error:
        raise DataError(str(error)) from None
    faults = [found for found in lines if isinstance(found, InputError)]
    if faults:
        raise DataError(f"{faults[0]}" + (f" (the first of {len(faults)} faults)" if len(faults) > 1 else ""))
    if repeated := repeated_names(header):
        raise DataError(f"{path}: found column {repeated} more than once, allowed each name once")
    if "" in header:
        raise DataError(
            f"{path}: column {header.index('') + 1} of {len(header)} has no name, allowed a name for each; name it, or "
            "leave it out (pandas writes its index so without index=False)"
        )
    rows = [found for found in lines if isinstance(found, list)]
    cells = {name: [_present(row[number]) for row in rows] for number, name in enumerate(header)}
    features = datasets.Features({name: datasets.Value("string") for name in header})
    return datasets.Dataset.from_dict(cells, features=features)


def _present(cell: str) -> str | None:
    return None if cell.strip() in MISSING_TEXTS else cell.strip()
