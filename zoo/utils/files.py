"""Atomic replacement of files and folders.

New content is written beside its target, under a hidden name such as ``.NAME.1a2b3c4d5e6f.tmp`` that is locked while
its process lives. What a killed process leaves is removed, or restored, when the same target is next written.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.utils.locks import make_folders, release, remove_empty, try_lock
from zoo.utils.renaming import exchange, rename_new_file, rename_new_folder

_LONG_NAME = "n" * 64
"""As long as any file's name that is written to an artifact or a run folder."""
Check = Callable[[Path, Path], None]
"""Takes the old and the new folder; raises an error if the old one must not be removed."""


@contextmanager
def replacing_folder(out: Path, *, overwrite: bool = False, check: Check | None = None) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` to fill; on a clean exit it is renamed to ``out``, atomically.

    On any exception the new folder is removed and ``out`` is unchanged. All files are synced to disk before the
    rename. A folder that appeared at ``out`` meanwhile is replaced with ``overwrite`` only, and only if ``check``
    accepts it. Raises FileExistsError, the errors of ``check``, and OSError if the file system refuses.
    """
    created = make_folders(out.parent)
    try:
        clean_leftovers(out)
        with _temporary_folder(out, "tmp") as new:
            yield new
            _sync_tree(new)
            if overwrite and os.path.lexists(out):
                _replace(out, new, check)
            else:
                rename_new_folder(new, out)
            sync(out.parent)
    finally:
        remove_empty(created)


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path beside ``path`` to write; on a clean exit the file is synced and renamed to ``path``, atomically.

    Raises FileExistsError if ``path`` exists then, without ``overwrite``, and OSError.
    """
    clean_leftovers(path)
    temporary = _sibling(path, "tmp")
    temporary.touch()
    handle = try_lock(temporary)
    try:
        yield temporary
        sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            rename_new_file(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        if handle is not None:
            release(handle)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file of a folder that this process alone writes, atomically. Raises OSError."""
    partial = partial_path(path)
    try:
        partial.write_bytes(data)
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def partial_path(path: Path) -> Path:
    """Return the hidden name under which a file of a locked folder is written."""
    return path.with_name(f".{path.name}.partial")


def check_creatable(folder: Path) -> None:
    """Raise OSError unless ``folder`` can be created and filled; tries with a folder beside it, which is removed."""
    created = make_folders(folder.parent)
    try:
        with _temporary_folder(folder, "probe") as probe:
            (probe / "subfolder").mkdir()
            (probe / "subfolder" / _LONG_NAME).touch()
    finally:
        remove_empty(created)


def clean_leftovers(out: Path) -> None:
    """Restore or remove what killed processes left beside ``out``; what belongs to a living process stays."""
    pattern = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{12}}\.(tmp|old|probe)")
    try:
        found = [path for path in out.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return
    for path in found:
        handle = try_lock(path)
        if handle is None:
            continue
        with suppress(OSError):
            if path.suffix == ".old" and not os.path.lexists(out):
                rename_new_folder(path, out)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        release(handle)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, with line breaks unchanged on every system."""
    path.write_bytes(text.encode())


def sync(path: Path) -> None:
    """Have the system write a file or folder to its disk. Raises OSError."""
    if os.name == "nt":  # Windows cannot open folders or sync read-only handles; its renames are journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.{suffix}")


@contextmanager
def _temporary_folder(out: Path, suffix: str) -> Iterator[Path]:
    """Yield a new locked folder beside ``out``, and at the end remove what then has its name."""
    while True:
        folder = _sibling(out, suffix)
        folder.mkdir()
        handle = try_lock(folder, wait=True)
        if handle is not None or folder.exists():  # else another process took it for a leftover before it was locked
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            release(handle)


def _replace(out: Path, new: Path, check: Check | None) -> None:
    """Swap ``out`` and ``new``, unless ``check`` refuses."""
    handle = try_lock(out, wait=True)  # waits for others that replace it; keeps them from cleaning it up once it is old
    try:
        if check is not None:
            check(out, new)  # again below, for what changes between here and there
        if not exchange(out, new):
            _replace_in_two_steps(out, new, check)
            return
        try:
            if check is not None:
                check(new, out)  # the names are swapped
        except Exception:
            exchange(out, new)
            assert check is not None
            check(out, new)  # raises the same error with the folder's usual name
            raise
    finally:
        if handle is not None:
            release(handle)


def _replace_in_two_steps(out: Path, new: Path, check: Check | None) -> None:
    """Do as :func:`_replace` where names cannot be swapped: after a kill, :func:`clean_leftovers` restores ``out``."""
    aside = _sibling(out, "old")
    os.rename(out, aside)
    try:
        if check is not None:
            check(aside, new)
        rename_new_folder(new, out)
    except BaseException:
        rename_new_folder(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for file in files:
            sync(Path(root, file))
        sync(Path(root))
