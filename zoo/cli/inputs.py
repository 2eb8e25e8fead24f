"""The files that ``zoo predict`` is given, and their predictions."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sdk
from sdk.appearance import Invert
from sdk.errors import InputError, InvertedInputWarning

if TYPE_CHECKING:
    from zoo.utils.progress import Progress

Row = list[tuple[str, float]]
"""The most likely labels of one input with their probabilities, the most likely one first."""
_BATCH = 64


def find_inputs(inputs: Sequence[str]) -> list[tuple[str, InputError | None]]:
    """Return the files that arguments mean, in order: a folder means the images in it, a pattern its matches.

    Hidden files and files without an image's extension are left out of folders. A folder without images, a folder that
    cannot be read and a pattern without matches are returned themselves, each with its error.
    """
    found: list[tuple[str, InputError | None]] = []
    for text in inputs:
        try:
            found += [(file, None) for file in _files_of(text)]
        except InputError as error:
            found.append((text, error))
        except OSError as error:
            found.append((text, InputError(f"{text}: cannot be read: {error.strerror or error}")))
    return found


def predict_files(
    model: sdk.Model,
    files: Sequence[tuple[str, InputError | None]],
    top: int,
    progress: Progress,
    invert: Invert = "auto",
) -> list[tuple[str, Row | InputError]]:
    """Return each file with its ``top`` most likely labels, or with the error of a file that the model cannot take.

    ``files`` are those of :func:`find_inputs`; errors among them are returned as they are.

    Gives one InvertedInputWarning for all files whose polarity is the opposite of the model's.
    """
    found: list[tuple[str, Row | InputError]] = []
    inverted: list[InvertedInputWarning] = []
    for start in range(0, len(files), _BATCH):
        progress("predicting", start, len(files))
        batch = files[start : start + _BATCH]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            readable = [file for file, error in batch if error is None]
            answers = model.predict(readable, top_k=top, invert=invert, errors="return")
        inverted += [warning.message for warning in caught if isinstance(warning.message, InvertedInputWarning)]
        answered = iter(answers)
        found += [(file, error or _named(file, next(answered))) for file, error in batch]
    if inverted:
        reason = str(inverted[0]).split(": ", 1)[1].replace("invert=False uses", "--invert no uses")
        count, seen = sum(w.inverted for w in inverted), sum(not isinstance(row, InputError) for _, row in found)
        warnings.warn(InvertedInputWarning(f"inverted {count} of {seen} images: {reason}"), stacklevel=2)
    return found


def _named(file: str, answer: Row | InputError) -> Row | InputError:
    """Return an answer, or an error that names the file."""
    if isinstance(answer, InputError) and file not in str(answer):
        return InputError(f"{file}: {answer}")
    return answer


def _files_of(text: str) -> list[str]:
    if os.path.isdir(text):
        images = [str(path) for path in sorted(Path(text).iterdir()) if _is_image(path)]
        if not images:
            deeper = next((path for path in sorted(Path(text).iterdir()) if path.is_dir()), None)
            advice = "give files, or a folder that holds some"
            if deeper is not None:
                advice = f"for those in its subfolders give '{os.path.join(text, '*', '*')}'"
            raise InputError(f"{text}: no images in this folder; {advice}")
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
