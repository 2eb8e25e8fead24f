"""Options with which ``datasets`` reads a CSV file as the SDK reads it for predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.column_names import repeated_names
from sdk.errors import InputError
from sdk.table_files import sniff
from zoo.utils.errors import DataError


def csv_options(files: Sequence[str]) -> dict[str, Any]:
    """Return the options for CSV files: their delimiter, and numbers rounded as Python rounds them.

    Raises DataError for a broken file: a column that is named twice, a row with more or fewer cells than names, text
    that is not UTF-8, and files that differ in their delimiter.
    """
    delimiters = {}
    for file in files:
        try:
            header, delimiter, records = sniff(Path(file))
            broken = next((found for _, found in records if isinstance(found, InputError)), None)
        except InputError as error:
            raise DataError(str(error)) from None
        if broken is not None:
            raise DataError(str(broken))
        repeated = repeated_names(header)
        if repeated:
            raise DataError(f"{file}: found column {repeated} more than once, allowed each name once")
        delimiters[delimiter] = file
    if len(delimiters) > 1:
        raise DataError(f"found cells separated by {' and by '.join(map(repr, delimiters))}, allowed one delimiter in "
                        f"all files: {', '.join(delimiters.values())}")  # fmt: skip
    return {"sep": next(iter(delimiters), ","), "float_precision": "round_trip", "encoding": "utf-8-sig"}
