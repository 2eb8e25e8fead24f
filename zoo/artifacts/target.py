"""The folder or file that a model is written to: it must be writable and hold nothing of others."""

from __future__ import annotations

import os
from pathlib import Path

from sdk.artifact import CARD_FILE, CONFIG_FILE, read_config
from sdk.errors import ArtifactError
from zoo.artifacts.card import read_notes
from zoo.utils.errors import ExportError
from zoo.utils.files import check_creatable, clean_leftovers

_FREE_TO_REMOVE = {".DS_Store", "Thumbs.db"}


def check_writable(out: Path, overwrite: bool) -> Path:
    """Return the absolute path of ``out`` if an artifact can be written there; call it before hours of training.

    Raises ExportError if ``out`` exists (without ``overwrite``), if it holds files that are not the artifact's (with
    ``overwrite``: they are never removed), or if the file system refuses; CardError if the notes in its card cannot
    be preserved.
    """
    out = Path(os.path.abspath(out))
    clean_leftovers(out)
    try:
        _check_free(out, overwrite)
        check_creatable(out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def _check_free(out: Path, overwrite: bool) -> None:
    """Raise ExportError if ``out`` holds something that must not be replaced."""
    if out.is_symlink():
        raise ExportError(f"{out} is a symbolic link; give the folder that it points to")
    if not out.exists():
        return
    if not out.is_dir():
        raise ExportError(f"{out} exists and is not a folder")
    if not overwrite and any(out.iterdir()):
        raise ExportError(
            f"{out} exists; replace it with --overwrite (overwrite=True in Python), "
            "or write to another folder with --out FOLDER"
        )
    _check_removable(out)


def check_new_file(out: Path, overwrite: bool) -> None:
    """Raise ExportError if a file ``out`` exists (without ``overwrite``), has no folder, or would alter a model."""
    if out.is_dir() or (out.exists() and not overwrite):
        raise ExportError(
            f"{out} exists; give another file{'' if out.is_dir() else ', or replace it with --overwrite'}"
        )
    if not out.parent.is_dir():
        raise ExportError(f"cannot write {out}: no folder {out.parent}")
    for folder in Path(os.path.realpath(out.parent), "file").parents:
        if _holds_model(folder):
            raise ExportError(f"cannot write {out}: the files of model {folder} are sealed; give a file elsewhere")


def _holds_model(folder: Path) -> bool:
    try:
        return bool(read_config(folder))
    except ArtifactError:
        return False


def check_replaceable(old: Path, new: Path) -> None:
    """Raise ExportError if removing ``old`` loses files that are not an artifact's, or notes that ``new`` lacks.

    The last check before ``new`` takes its place: ``old`` may have changed since :func:`check_writable`.
    """
    _check_removable(old)
    # A folder without a card has no notes, not even the line break of a new card.
    if read_notes(old / CARD_FILE).strip() != read_notes(new / CARD_FILE).strip():
        raise ExportError(f"{old / CARD_FILE}: its notes were edited meanwhile; repeat the command")


def _check_removable(out: Path) -> None:
    """Raise ExportError if the folder holds files that are not an artifact's, or notes that cannot be read."""
    present = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    if not present:
        return
    try:
        own = {CONFIG_FILE, *read_config(out).files}
    except ArtifactError as error:
        raise ExportError(f"{error}; it is not overwritten: remove it yourself") from error
    foreign = sorted(present - own - _FREE_TO_REMOVE)
    if foreign:
        raise ExportError(f"{out} holds files that are not the model's: {', '.join(foreign)}; move them away first")
    read_notes(out / CARD_FILE)  # raises CardError for notes that would be lost
