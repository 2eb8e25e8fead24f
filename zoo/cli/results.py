"""The file that ``zoo predict --out`` writes: CSV, JSON lines or Parquet, a block of rows at a time."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdk.errors import InputError
from sdk.validation import describe
from zoo.utils.files import new_file

ENDINGS = (".csv", ".jsonl", ".parquet")
_BLOCK = 4096
"""Rows that are held until they are written."""
Write = Callable[[Sequence[Sequence[Any]]], None]
"""Writes some rows."""


def check_results_file(path: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise InputError, before anything is predicted, for a file that :func:`writing_results` cannot write.

    That is one in another format, or in a folder that is missing or cannot be written to, a file that exists (without
    ``overwrite``), one of the inputs, and Parquet without pyarrow.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"--out {path}: found {describe(path.suffix)}, allowed files that end with {', '.join(ENDINGS)}"
        )
    if path.is_dir():
        raise InputError(f"--out {path}: found a folder, allowed a file in it, such as {path / 'predictions.csv'}")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: found no folder {path.parent}; make it first")
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"--out {path}: found a file of this name; replace it with --overwrite, or give another name")
    if path.exists() and any(os.path.exists(name) and os.path.samefile(name, path) for name in inputs):
        raise InputError(f"--out {path}: found one of the inputs; give another name")
    if path.suffix.lower() == ".parquet":
        _import_pyarrow(path)
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(f"--out {path}: cannot write to {path.parent}: {error.strerror or error}") from None


@contextmanager
def writing_results(path: Path, columns: Mapping[str, type], overwrite: bool) -> Iterator[Callable[..., None]]:
    """Yield a function that takes the values of one row; on a clean exit the file appears under its name, complete.

    ``columns`` are the names with the types of their values: str, int or float, or None where there is no value.
    Raises FileExistsError if a file appeared meanwhile (without ``overwrite``), and OSError.
    """
    rows: list[Sequence[Any]] = []
    opens = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
    with new_file(path, overwrite=overwrite) as temporary, opens[path.suffix.lower()](temporary, columns) as write:

        def add(*values: Any) -> None:
            rows.append([_text(value) if isinstance(value, str) else value for value in values])
            if len(rows) >= _BLOCK:
                write(rows)
                rows.clear()

        yield add
        write(rows)


def _text(text: str) -> str:
    """Return a text that UTF-8 can spell: names of files may hold other bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _csv(path: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield writer.writerows


@contextmanager
def _json_lines(path: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(rows: Sequence[Sequence[Any]]) -> None:
            for row in rows:
                file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, columns: Mapping[str, type]) -> Iterator[Write]:
    pyarrow = _import_pyarrow(path)
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:

        def write(rows: Sequence[Sequence[Any]]) -> None:
            cells = [[row[number] for row in rows] for number in range(len(columns))]
            writer.write_table(pyarrow.table(cells, schema=schema))

        yield write


def _import_pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            f"--out {path}: Parquet needs pyarrow; `pip install 'cellzoo[parquet]'`, or write .csv or .jsonl"
        ) from None
    return pyarrow
