"""The predictions of the rows of tables that ``zoo predict`` is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import sdk
from sdk.answers import Answer
from sdk.errors import InputError
from sdk.rows import Rows
from sdk.table_files import read_file
from zoo.cli.inputs import File, Prediction, row_number
from zoo.utils.progress import Progress

_BATCH = 1024
_SAMPLE = 2**20
"""Bytes of a text from which the number of its lines is estimated."""


def predict_rows(model: sdk.Model, files: Sequence[File], top: int, progress: Progress) -> Iterator[Prediction]:
    """Yield each row, such as "wine.csv, line 2", with its ``top`` most likely labels, or its error.

    Files are read in batches, so that a long table is never in memory at once. A file that cannot be read gives one
    error. Raises InputError for a model that does not know its columns.
    """
    columns = model.input_spec.columns
    if columns is None:
        raise InputError(
            f"{model.name} knows no names of its {model.input_spec.shape[0]} columns, so it reads no files; in Python: "
            f"sdk.load({model.name!r}).predict([...])"
        )
    for file, unusable in files:
        if unusable is not None:
            yield Prediction(file, None, file, unusable)
            continue
        try:
            done, total = 0, _rows_in(file)
            for rows in read_file(file, columns, _BATCH):
                progress(f"predicting {file}", done, max(total, done + rows.count) if total else 0)
                answers: list[Answer] = model.predict(rows, batch_size=_BATCH, top_k=top, errors="return")
                yield from (_prediction(file, rows, number, answer) for number, answer in enumerate(answers))
                done += rows.count
        except InputError as error:
            yield Prediction(file, None, file, error)


def _prediction(file: str, rows: Rows, number: int, answer: Answer) -> Prediction:
    place = rows.place(number)
    return Prediction(file, row_number(place), place, answer)


def _rows_in(file: str) -> int:
    """Return the number of rows for a progress bar, estimated from the start of a text; 0 if it is unknown."""
    try:
        if file.lower().endswith(".parquet"):
            import pyarrow.parquet

            return int(pyarrow.parquet.read_metadata(file).num_rows)
        with open(file, "rb") as opened:
            start = opened.read(_SAMPLE)
        return round(start.count(b"\n") * os.path.getsize(file) / len(start)) if start else 0
    except Exception:  # whatever is wrong with the file is reported by reading it
        return 0
