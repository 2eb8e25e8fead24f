"""Locks on files and folders that end with the process that holds them, however it ends.

They are the operating system's own (``flock``), so none is stale: a kill or a reboot frees them. Processes that are
forked meanwhile, such as workers that load data, do not inherit them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl

    _fcntl: Any = fcntl
except ImportError:  # Windows
    _fcntl = None

LOCK_FILE = ".lock"
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF}
_held: set[int] = set()
"""Open handles of this process's locks."""
_locked: dict[Path, tuple[int, Path]] = {}
"""Handle and file of the lock by the folder that :func:`folder_lock` holds."""


class LockedError(OSError):
    """Another process, or another thread of this one, holds the lock; the message says which."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder/.lock``, a file that names this process; create the folder, and remove it if it stays empty.

    On a file system without locks, a second file, which one process alone can create, is the lock: it is stale if its
    process has died on this machine, and one of another machine has to be removed by hand. Raises LockedError if the
    lock is held, and OSError.
    """
    created, owner, taken = make_folders(folder), os.getpid(), None
    try:
        taken = _acquire(folder / LOCK_FILE)
        with _noting(folder.absolute(), taken):
            yield
    finally:
        if taken is not None and os.getpid() == owner:
            handle, path = taken
            with suppress(OSError):
                if _is_at(handle, path):  # else the folder was deleted, and another run may be in a new one
                    path.unlink()  # before the release: who waits for the lock sees that this file is no longer it
            release(handle)
        remove_empty(created)


def has_lost(folder: Path) -> bool:
    """Return True if this process locked ``folder``, and what has that name now is not what it locked."""
    taken = _locked.get(folder.absolute())
    return taken is not None and not _is_at(*taken)


def try_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file or folder; return a handle for :func:`release`, or None if it is gone, held, or cannot be locked.

    ``wait`` until another process releases it. The handle belongs to what ``path`` names at the end of the wait.
    """
    if _fcntl is None:
        return None
    while True:
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            _fcntl.flock(handle, _fcntl.LOCK_EX | (0 if wait else _fcntl.LOCK_NB))
            if _is_at(handle, path):
                _held.add(handle)
                return handle
        except OSError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # it was replaced while we waited


def release(handle: int) -> None:
    """Release a lock."""
    _held.discard(handle)
    os.close(handle)


def make_folders(folder: Path) -> list[Path]:
    """Create ``folder`` and its parents; return those that did not exist, the innermost first. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(missing)
        if isinstance(error, FileExistsError):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
        raise
    return missing


def remove_empty(folders: list[Path]) -> None:
    """Remove the folders, in order, that are empty."""
    for folder in folders:
        with suppress(OSError):  # it holds something, or is gone
            folder.rmdir()


@contextmanager
def _noting(folder: Path, taken: tuple[int, Path]) -> Iterator[None]:
    """Note what this process holds, for :func:`has_lost`; a run that succeeds a deleted one may be in it, too."""
    before = _locked.get(folder)
    _locked[folder] = taken
    try:
        yield
    finally:
        if before is None:
            _locked.pop(folder, None)
        else:
            _locked[folder] = before


def _acquire(path: Path) -> tuple[int, Path]:
    """Take the lock; return its open handle and its file."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)  # another process may just have removed the empty folder
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue
        try:
            if not _lock(handle):
                break
            if _is_at(handle, path):
                _sign(handle)
                _held.add(handle)
                return handle, path
        except BlockingIOError:
            os.close(handle)
            raise LockedError(errno.EWOULDBLOCK, f"in use by {_describe(path)}") from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has just ended and removed the file
    os.close(handle)
    path.unlink(missing_ok=True)
    return _acquire_without_locks(path.with_name(f"{path.name}.owner"))


def _lock(handle: int) -> bool:
    """Lock an open file; return False where that is not supported. Raises BlockingIOError if it is locked."""
    if _fcntl is None:
        return False
    try:
        _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _acquire_without_locks(path: Path) -> tuple[int, Path]:
    """Take the lock by creating a file that must not exist."""
    for _ in range(2):
        with suppress(FileExistsError):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            _sign(handle)
            _held.add(handle)
            return handle, path
        if not _is_dead(path):
            break
        path.unlink(missing_ok=True)
    advice = f"if that process has ended, remove {path}: its file system has no locks that end with their process"
    raise LockedError(errno.EWOULDBLOCK, f"in use by {_describe(path)}; {advice}")


def _is_at(handle: int, path: Path) -> bool:
    """Return True if ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    os.truncate(handle, 0)
    os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())


def _owner(path: Path) -> tuple[int, str]:
    """Return the pid and the host that a lock's file names; 0 and "" if it does not say."""
    for _ in range(20):  # its owner may just be writing it
        with suppress(OSError, ValueError, KeyError, TypeError):
            signed = json.loads(path.read_bytes())
            return int(signed["pid"]), str(signed["host"])
        time.sleep(0.005)
    return 0, ""


def _describe(path: Path) -> str:
    pid, host = _owner(path)
    if not pid:
        return "another process"
    return f"process {pid}" + (f" on {host}" if host != socket.gethostname() else "")


def _is_dead(path: Path) -> bool:
    """Return True if the owner was a process of this machine that has ended."""
    pid, host = _owner(path)
    if not pid or host != socket.gethostname() or os.name == "nt":  # on Windows, signal 0 would stop the process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _close_in_child() -> None:
    """Close the parent's locks in a forked process, which would hold them after the parent's death."""
    for handle in _held:
        with suppress(OSError):
            os.close(handle)
    _locked.clear()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
