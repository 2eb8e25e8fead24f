"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield an empty sibling of ``out`` to fill; on a clean exit it takes the place of ``out``.

    On any exception the sibling is removed and ``out`` is as it was. Everything is on disk before the rename.
    Raises OSError when the file system refuses.
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
    """Raise OSError unless ``folder`` could be made now, by making and removing one where it would stand."""
    ancestor = next(parent for parent in folder.parents if parent.exists())
    probe = _sibling(ancestor / folder.name, "probe")
    probe.mkdir()
    probe.rmdir()


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
    if os.name == "nt":  # Windows opens no folders and syncs no read-only handles; its renames are journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
