"""Encloses a process that works on hostile files, and records what leaves the enclosure."""

from __future__ import annotations

import mmap
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect"}


class Guard:
    """Records, by Python's audit events, what leaves a folder."""

    root = ""
    touched: ClassVar[list[str]] = []

    @classmethod
    def hook(cls, event: str, given: tuple[Any, ...]) -> None:
        if event in _STARTS:
            cls.touched.append(f"{event} {str(given[-1 if event == 'socket.connect' else 0])[:60]}")
        writes = event == "open" and isinstance(given[2], int) and given[2] & _WRITES
        if (writes or event in _CHANGES) and isinstance(given[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(given[0]))
            if not path.startswith((cls.root, "/dev/null", "/proc/self")) and "__pycache__" not in path:
                cls.touched.append(f"{event} outside: {path}")


def enclose(folder: Path, addresses: int) -> None:
    """Limit this process to a folder and ``addresses`` more bytes of address space; what it prints is lost."""
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME", "ZOO_MODELS"):
        os.environ[name] = str(folder / "inside")
    tempfile.tempdir = None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + addresses, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    Guard.root = str(folder.resolve().parent)
    sys.addaudithook(Guard.hook)
