"""The predictions of images: those of files, and those in a column of a table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sdk
from sdk.answers import Answer
from sdk.appearance import Invert
from sdk.batch_predictor import picture_column, picture_in
from sdk.columns import Columns
from sdk.errors import InputError, InvertedInputWarning
from sdk.sources import is_url
from sdk.table_files import is_table_file, read_file, read_names
from zoo.cli.inputs import File, Prediction, row_number
from zoo.utils.progress import Progress

_BATCH = 64


def predict_images(
    model: sdk.Model,
    files: Sequence[File],
    top: int,
    progress: Progress,
    invert: Invert = "auto",
    column: str | None = None,
) -> Iterator[Prediction]:
    """Yield each image with its ``top`` most likely labels, or with the error of one that the model cannot take.

    A file is an image, or a table with a column of images: the one named ``column``, by default that which
    :class:`sdk.BatchPredictor` would take. Paths in a table are relative to its folder.

    Gives one InvertedInputWarning, after the last image, for all whose polarity is the opposite of the model's.
    """
    label = _Labels(model, top, invert)
    done = 0
    for table, group in groupby(files, key=lambda file: file.error is None and is_table_file(file.name)):
        some = list(group)
        if table:
            for file in some:
                yield from _in_table(file.name, column, label, progress)
        else:
            for start in range(0, len(some), _BATCH):
                progress("predicting", done + start, len(files))
                yield from _in_files(some[start : start + _BATCH], label)
        done += len(some)
    label.note()


def _in_files(files: Sequence[File], label: _Labels) -> Iterator[Prediction]:
    answered = iter(label([file.name for file in files if file.error is None]))
    for file in files:
        answer = file.error or _named(file.name, next(answered))
        yield Prediction(file.name, None, file.name, answer)


def _in_table(file: str, column: str | None, label: _Labels, progress: Progress) -> Iterator[Prediction]:
    try:
        names = read_names(file)
        chosen = picture_column(names, column, file, "--column NAME")
        folder = os.path.dirname(file)
        done = 0
        for rows in read_file(file, Columns.of_numbers([chosen]), _BATCH):
            progress(f"predicting {file}, {done:,} rows done")
            good = iter(label([_picture(cell, folder) for cell in rows.cells[0]]))
            for number in range(rows.count):
                place = rows.place(number)
                yield Prediction(file, row_number(place), place, _named(place, rows.bad.get(number) or next(good)))
            done += rows.count
    except InputError as error:
        yield Prediction(file, None, file, error)


def _picture(cell: Any, folder: str) -> Any:
    """Return the picture in a cell of a table in ``folder``."""
    found = picture_in(cell)
    if isinstance(found, str) and not is_url(found):
        return os.path.join(folder, found) if found else None
    return found


def _named(place: str, answer: Answer) -> Answer:
    """Return an answer, or an error that names the file or row."""
    if isinstance(answer, InputError) and place not in str(answer):
        return InputError(f"{place}: {answer}")
    return answer


class _Labels:
    """Predicts images, and counts those that were inverted."""

    def __init__(self, model: sdk.Model, top: int, invert: Invert) -> None:
        self.model, self.top, self.invert = model, top, invert
        self.inverted, self.seen, self.reason = 0, 0, ""

    def __call__(self, images: list[Any]) -> list[Answer]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers: list[Answer] = self.model.predict(
                images, top_k=self.top, invert=self.invert, errors="return", batch=True
            )
        for message in (warning.message for warning in caught):
            if isinstance(message, InvertedInputWarning):
                self.inverted, self.reason = self.inverted + message.inverted, str(message)
        self.seen += sum(not isinstance(answer, InputError) for answer in answers)
        return answers

    def note(self) -> None:
        """Give one warning for all images that were inverted, if any."""
        if self.inverted:
            reason = self.reason.split(": ", 1)[1].replace("invert=False uses", "--invert no uses")
            warning = InvertedInputWarning(f"inverted {self.inverted} of {self.seen} images: {reason}")
            warnings.warn(warning, stacklevel=2)
