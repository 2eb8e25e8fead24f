"""Renames that never replace what they should not, and that swap two names at once."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_CANNOT_LINK = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV, *_UNSUPPORTED}
_AT_FDCWD, _EXCHANGE, _SWAP = -100, 2, 2
"""From Linux's fcntl.h and fs.h, and from macOS's stdio.h."""


def rename_new_folder(source: Path, target: Path) -> None:
    """Rename a folder; raises FileExistsError if ``target`` is anything but an empty folder."""
    try:
        if os.name == "nt" and target.is_dir():
            target.rmdir()  # fails unless it is empty, which POSIX checks as part of the rename
        os.rename(source, target)  # for folders, POSIX replaces an empty folder alone
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and os.path.lexists(target):
            raise _appeared(target) from None
        raise


def rename_new_file(source: Path, target: Path) -> None:
    """Rename a file; raises FileExistsError if ``target`` exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise _appeared(target) from None
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        try:  # without hard links, an empty file reserves the name
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            raise _appeared(target) from None
        os.replace(source, target)
    else:
        os.unlink(source)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically; return False where the system or the file system cannot."""
    call = _exchange_call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """Return the C function that swaps two paths, or None."""
    if os.name == "nt":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        swap = getattr(library, "renamex_np", None)
        return swap and (lambda one, other: swap(one, other, ctypes.c_uint(_SWAP)))
    rename = getattr(library, "renameat2", None)
    return rename and (lambda one, other: rename(_AT_FDCWD, one, _AT_FDCWD, other, ctypes.c_uint(_EXCHANGE)))


def _appeared(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"{target.name} appeared there meanwhile and is not replaced", str(target))
