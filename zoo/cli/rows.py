"""The tables that ``zoo predict`` is given, and the predictions of their rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import sdk
from sdk.errors import InputError
from sdk.table_files import ENDINGS, is_table_file, read_file
from zoo.cli.inputs import Row, find_inputs
from zoo.utils.progress import Progress

_BATCH = 1024


def predict_rows(
    model: sdk.Model, files: Sequence[str | InputError], top: int, progress: Progress
) -> Iterator[tuple[str, Row | InputError]]:
    """Yield the name of each row, such as "wine.csv, line 2", with its ``top`` most likely labels, or its error.

    Files are read in batches, so that a long table is never in memory at once. A file that cannot be read gives one
    error. Raises InputError for a model that does not know its columns.
    """
    columns = model.input_spec.columns
    if columns is None:
        raise InputError(
            f"{model.name} knows no names of its {model.input_spec.shape[0]} columns, so it reads no files; in Python: "
            f"sdk.load({model.name!r}).predict([...])"
        )
    for file in files:
        if isinstance(file, InputError):
            yield str(file).partition(":")[0], file
            continue
        try:
            done = 0
            for rows in read_file(file, columns, _BATCH):
                progress(f"predicting {file}", done)
                answers: list[Any] = model.predict(rows, batch_size=_BATCH, top_k=top, errors="return")
                yield from ((rows.place(number), answer) for number, answer in enumerate(answers))
                done += rows.count
        except InputError as error:
            yield file, error


def find_tables(inputs: Sequence[str]) -> list[str | InputError]:
    """Return the files that arguments mean, in order: a folder means the tables in it, a pattern its matches."""
    return [file for text in inputs for file in _files_of(text)]


def _files_of(text: str) -> list[str | InputError]:
    if os.path.isdir(text):
        names = [name for name in sorted(os.listdir(text)) if is_table_file(name) and not name.startswith(".")]
        if not names:
            return [InputError(f"{text}: no tables in this folder; give files that end with {', '.join(ENDINGS)}")]
        return [os.path.join(text, name) for name in names]
    return [file if error is None else error for file, error in find_inputs([text])]
