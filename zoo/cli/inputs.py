"""The files that ``zoo predict`` is given, and the form of its predictions."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sdk.answers import Answer
from sdk.errors import InputError


class File(NamedTuple):
    """A file to predict, or the error of an argument that means none."""

    name: str
    error: InputError | None = None


class Prediction(NamedTuple):
    """The answer to one image or to one row of a table."""

    file: str
    row: int | None
    """The line or row of a table; None for an image and for the error of a whole file."""
    place: str
    """The file, or file and row, in words."""
    answer: Answer


def find_files(inputs: Sequence[str], wanted: Callable[[str], bool], what: str, recursive: bool = False) -> list[File]:
    """Return the files that arguments mean, in order: a folder means the ``wanted`` ones in it, a pattern its matches.

    Hidden files are left out of folders. With ``recursive``, folders within a folder count, hidden ones and links to
    folders left out. A folder without wanted files (``what`` names them), a folder that cannot be read and a pattern
    without matches are returned themselves, each with its error.
    """
    found: list[File] = []
    for text in inputs:
        try:
            found += map(File, _files_of(text, wanted, what, recursive))
        except InputError as error:
            found.append(File(text, error))
        except OSError as error:
            found.append(File(text, InputError(f"{text}: cannot be read: {error.strerror or error}")))
    return found


def is_image_file(name: str) -> bool:
    """Return True if the name of a file ends like that of an image which the SDK reads."""
    from PIL import Image

    from sdk.images import FORMATS

    return Image.registered_extensions().get(os.path.splitext(name)[1].lower()) in (*FORMATS, "AVIF")


def row_number(place: str) -> int:
    """Return the number at the end of the name of a row, such as "wine.csv, line 2"."""
    return int(place.rpartition(" ")[2])


def _files_of(text: str, wanted: Callable[[str], bool], what: str, recursive: bool) -> list[str]:
    if os.path.isdir(text):
        files = [name for name in _listed(Path(text), recursive) if wanted(name)]
        if not files:
            raise InputError(f"{text}: no {what} in this folder; {_advice(Path(text), recursive)}")
        return files
    if not glob.has_magic(text) or "://" in text or text.startswith("data:") or os.path.exists(text):
        return [text]
    matches = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
    if not matches:
        raise InputError(f"{text}: no file matches this pattern")
    return matches


def _listed(folder: Path, recursive: bool) -> Iterator[str]:
    """Yield the files in a folder that are not hidden, sorted, those of its subfolders after its own."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from (str(path) for path in entries if path.is_file())
    if recursive:
        for path in entries:
            if path.is_dir() and not path.is_symlink():
                yield from _listed(path, recursive)


def _advice(folder: Path, recursive: bool) -> str:
    if not recursive and any(path.is_dir() for path in folder.iterdir()):
        return f"for those in its subfolders give '{folder / '*' / '*'}', or add --recursive"
    return "give files, or a folder that holds some"
