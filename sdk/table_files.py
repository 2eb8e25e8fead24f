"""Reads rows from files: CSV, JSON and Parquet, a block at a time.

A CSV file is UTF-8 text whose first line names the columns. Commas, semicolons, tabs or bars separate the cells,
whichever splits the first line into the most of the model's columns; ``.tsv`` means tabs. A JSON file has one object
per line, or is one list of objects.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from sdk.column_names import match
from sdk.columns import Columns
from sdk.errors import InputError
from sdk.rows import Rows, gather, numbered
from sdk.validation import describe

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
LONGEST_LINE = 16 * 2**20
"""Most characters of a line."""
LARGEST_LIST = 256 * 2**20
"""Most bytes of a JSON file that is one list, which is read whole."""
_DELIMITERS = (",", ";", "\t", "|")
Record: TypeAlias = "tuple[int, list[str] | InputError]"
"""The line number of a record of a CSV file, and its cells or the reason why it cannot be read."""


def is_table_file(path: str | os.PathLike[str]) -> bool:
    """Return True if the name of a file ends like that of a table."""
    return os.fspath(path).lower().endswith(ENDINGS)


def read_file(path: str | os.PathLike[str], columns: Columns, size: int) -> Iterator[Rows]:
    """Return the rows of a file in blocks of ``size``, so that a long file is never in memory at once.

    A row that cannot be read is a bad row of its block. Raises InputError for a file that is no table, cannot be read
    to its end, or lacks a column.
    """
    if not is_table_file(path):
        found = describe(Path(path).suffix)
        raise InputError(f"{path}: found {found}, allowed tables that end with {', '.join(ENDINGS)}")
    file = _existing(path)
    readers = {".parquet": _read_parquet, ".json": _read_json, ".jsonl": _read_json}
    return readers.get(file.suffix.lower(), _read_csv)(file, columns, size)


def read_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns of a file; those of JSON are the keys of its first object.

    Raises InputError as :func:`read_file` does.
    """
    file = _existing(path)
    if file.suffix.lower() == ".parquet":
        pyarrow = _import_pyarrow(file)
        try:
            return list(pyarrow.parquet.read_schema(file).names)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _no_parquet(file, error) from None
    if file.suffix.lower() not in (".json", ".jsonl"):
        return sniff(file)[0]
    first = next((line for line in _lines(file) if line.strip()), "{}")
    rows = _json_list(file) if first.lstrip().startswith("[") else [_parse(first, str(file))]
    return list(rows[0]) if rows and isinstance(rows[0], dict) else []


def _existing(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file; raises InputError if there is none, or if the system does not say."""
    file = Path(path)
    try:
        if file.is_file():
            return file
        reason = "not a file" if file.exists() else "no such file"
    except OSError as error:  # such as a name that is too long for the file system
        reason = f"cannot be read: {error.strerror}"
    raise InputError(f"{path}: {reason}")


def sniff(path: Path, names: Sequence[str] = ()) -> tuple[list[str], str, Iterator[Record]]:
    """Return the names of the columns of a CSV file, its delimiter, and its records.

    The delimiter is that which splits the first line into the most of ``names``, and among those into the most names.
    Raises InputError for a file without names, and, while records are read, for text that is not UTF-8.
    """
    first = next(_lines(path), "")
    if not first.strip():
        raise InputError(f"{path}: the first line is empty, allowed the names of the columns")
    split = {
        delimiter: [name.strip() for name in _first_record(path, delimiter)]
        for delimiter in (("\t",) if path.suffix.lower() == ".tsv" else _DELIMITERS)
    }
    known = set(names)
    best = max(split, key=lambda delimiter: (len(known & set(split[delimiter])), len(split[delimiter])))
    return split[best], best, _records(path, best, len(split[best]))


def _read_csv(path: Path, columns: Columns, size: int) -> Iterator[Rows]:
    header, _, records = sniff(path, columns.names)
    positions = match(columns.names, header, str(path))
    while block := list(islice(records, size)):
        bad = {number: found for number, (_, found) in enumerate(block) if isinstance(found, InputError)}
        good = [found for _, found in block if not isinstance(found, InputError)]
        cells = [[row[position] for row in good] for position in positions]
        yield Rows(len(block), cells, _lined(path, [line for line, _ in block]), bad, csv=True)


def _first_record(path: Path, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(_lines(path), delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []  # it may be sound with another delimiter


def _records(path: Path, delimiter: str, width: int) -> Iterator[Record]:
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    next(reader, None)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, InputError(f"{path}, line {reader.line_num}: found broken CSV: {error}")
            continue
        if len(cells) == width:
            yield reader.line_num, cells
        elif cells:  # an empty line is no row
            found = f"found {len(cells)} cells, allowed {width} as in the first line"
            yield reader.line_num, InputError(f"{path}, line {reader.line_num}: {found}")


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text with their ends. Raises InputError."""
    number = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while line := file.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise InputError(f"{path}, line {number}: found more than {LONGEST_LINE:,} characters in a line")
                yield line
                number += 1
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number} or later: found bytes that are not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read it: {error.strerror or error}") from None


def _lined(path: Path, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda number: f"{path}, line {lines[number]}"


def _read_json(path: Path, columns: Columns, size: int) -> Iterator[Rows]:
    known: dict[tuple[str, ...], list[int]] = {}

    def cells(row: Any, where: str) -> list[Any]:
        if not isinstance(row, dict):
            raise InputError(f"{where}: found {describe(row)}, allowed an object with the columns as keys")
        keys = tuple(row)
        if keys not in known:
            known[keys] = match(columns.names, keys, where)
        return [row[keys[position]] for position in known[keys]]

    if next((line.lstrip()[:1] for line in _lines(path) if line.strip()), "") == "[":
        rows = _json_list(path)
        for first in range(0, len(rows), size):
            yield gather(rows[first : first + size], cells, numbered(f"{path}, row", first), columns)
        return
    records = ((number, line) for number, line in enumerate(_lines(path), 1) if line.strip())
    while block := list(islice(records, size)):
        place = _lined(path, [line for line, _ in block])
        yield gather([text for _, text in block], lambda text, where: cells(_parse(text, where), where), place, columns)


def _json_list(path: Path) -> list[Any]:
    if path.stat().st_size > LARGEST_LIST:
        raise InputError(f"{path}: a list of more than {LARGEST_LIST:,} bytes; write one object per line (.jsonl)")
    rows: list[Any] = _parse("".join(_lines(path)), str(path))
    return rows


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _read_parquet(path: Path, columns: Columns, size: int) -> Iterator[Rows]:
    pyarrow = _import_pyarrow(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = file.schema_arrow.names
            chosen = [found[position] for position in match(columns.names, found, str(path))]
            first = 0
            for batch in file.iter_batches(min(size, 2**16), columns=chosen):
                cells = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in chosen]
                yield Rows(batch.num_rows, cells, numbered(f"{path}, row", first))
                first += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _no_parquet(path, error) from None


def _import_pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow; `pip install 'cellzoo[parquet]'`, or give a CSV file"
        ) from None
    return pyarrow


def _no_parquet(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())}")
