"""Atomic replacement of files and folders."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONG_NAME = "n" * 64
"""As long as any file's name that is written to an artifact or a run folder."""


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` to fill; on a clean exit it replaces ``out`` atomically.

    On any exception the new folder is removed and ``out`` is unchanged. All files are synced to disk before the
    rename. Raises OSError if the file system refuses.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(out, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        _swap(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_creatable(folder: Path) -> None:
    """Raise OSError unless ``folder`` can be created and filled; tries with a folder beside it, which is removed."""
    missing = [parent for parent in folder.parents if not parent.exists()]
    probe = _sibling(folder, "probe")
    inside = probe / "subfolder"
    try:
        inside.mkdir(parents=True)
        (inside / _LONG_NAME).touch()
    finally:
        with suppress(OSError):
            (inside / _LONG_NAME).unlink(missing_ok=True)
        for created in (inside, probe, *missing):
            with suppress(OSError):  # it was not created, or another process has filled it
                created.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, with line breaks unchanged on every system."""
    path.write_bytes(text.encode())


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.{suffix}")


def _swap(new: Path, out: Path) -> None:
    if not out.exists():
        os.rename(new, out)
        _sync(out.parent)
        return
    aside = _sibling(out, "old")
    try:
        os.rename(out, aside)
        os.rename(new, out)
    except BaseException:
        if aside.exists() and not out.exists():
            os.rename(aside, out)
        raise
    _sync(out.parent)
    shutil.rmtree(aside)


def _sync_tree(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for file in files:
            _sync(Path(root, file))
        _sync(Path(root))


def _sync(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders or sync read-only handles; its renames are journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
