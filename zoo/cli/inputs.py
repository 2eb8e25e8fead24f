"""The files that ``zoo predict`` is given, and their predictions."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sdk
from sdk.errors import InputError

if TYPE_CHECKING:
    from zoo.utils.progress import Progress

Row = list[tuple[str, float]]
"""The most likely labels of one input with their probabilities, the most likely one first."""
_BATCH = 64


def find_inputs(inputs: Sequence[str]) -> list[str]:
    """Return the files that arguments mean, in order: a folder means the images in it, a pattern its matches.

    Hidden files and files without an image's extension are left out of folders. Raises InputError for a folder without
    images and for a pattern without matches.
    """
    return [file for text in inputs for file in _files_of(text)]


def predict_files(
    model: sdk.Model, files: Sequence[str], top: int, progress: Progress
) -> list[tuple[str, Row | InputError]]:
    """Return each file with its ``top`` most likely labels, or with the error of a file that the model cannot take."""
    found: list[tuple[str, Row | InputError]] = []
    for start in range(0, len(files), _BATCH):
        progress("predicting", start, len(files))
        batch = files[start : start + _BATCH]
        found += zip(batch, _predict(model, batch, top), strict=True)
    return found


def _files_of(text: str) -> list[str]:
    if os.path.isdir(text):
        images = [str(path) for path in sorted(Path(text).iterdir()) if _is_image(path)]
        if not images:
            raise InputError(f"{text}: no images in this folder; give files, or a folder that holds some")
        return images
    if not glob.has_magic(text) or "://" in text or text.startswith("data:") or os.path.exists(text):
        return [text]
    matches = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
    if not matches:
        raise InputError(f"{text}: no file matches this pattern")
    return matches


def _is_image(path: Path) -> bool:
    from PIL import Image

    return path.suffix.lower() in Image.registered_extensions() and not path.name.startswith(".") and path.is_file()


def _predict(model: sdk.Model, files: Sequence[str], top: int) -> list[Row | InputError]:
    """Predict files together or, if one of them is refused, each alone."""
    try:
        probabilities = model.predict_proba(list(files))
    except InputError as error:
        if len(files) == 1:
            text = str(error).removeprefix("input 0: ")
            return [InputError(text if files[0] in text else f"{files[0]}: {text}")]
        return [row for file in files for row in _predict(model, [file], top)]
    return [[(model.labels[i], float(row[i])) for i in row.argsort()[::-1][:top]] for row in probabilities]
