"""Notices the death of the processes that prepare batches, and says why it may have happened."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.data import get_worker_info

from zoo.utils.errors import DataError

SHARED = Path("/dev/shm")
"""The folder that workers share tensors in, on Linux."""
_LITTLE = 64 * 2**20
"""Bytes of free shared memory below which it is the likely cause of a death."""
_NO_ROOM = ("</torch_", "shared memory", "No space left on device", "unable to mmap")


def share(sample: Any) -> Any:
    """Move a batch, a tuple of tensors, into shared memory in the worker's own thread, where a failure is an error.

    Otherwise the worker's queue would do so in a thread of its own, lose the batch, and training would wait forever.
    """
    if get_worker_info() is not None:
        for tensor in sample:
            tensor.share_memory_()
    return sample


def end_quietly(number: int) -> None:
    """Let a worker, of any number, say nothing when training ends while it hands over a batch."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, EOFError | ConnectionError):
            usual(kind, error, trace)

    sys.excepthook = hook  # called by the thread of multiprocessing that hands over file descriptors


def start_workers(loader: Iterable[Any]) -> tuple[Iterator[Any], list[BaseProcess]]:
    """Return a loader's iterator and the processes that it started.

    At a worker's death torch's handler of SIGCHLD would raise an error wherever the main thread is. It is removed, and
    the iterator notices the death within five seconds of waiting for a batch.
    """
    known = multiprocessing.active_children()
    main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    previous = signal.getsignal(signal.SIGCHLD) if main else None
    iterator = iter(loader)
    if main:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if previous is None else previous)
    return iterator, [child for child in multiprocessing.active_children() if child not in known]


def one_line(error: DataError) -> DataError:
    """Return the error without the traceback that torch puts before the message of a worker's error."""
    kind = type(error)
    message = str(error).partition(f"\n{kind.__module__}.{kind.__qualname__}: ")[2]
    return DataError(message.removesuffix("\n")) if message else error


def explain(error: Exception, workers: list[BaseProcess]) -> DataError | None:
    """Return the error for a worker that died or found no room in shared memory; None for any other error."""
    text = str(error)
    free = shutil.disk_usage(SHARED).free if SHARED.is_dir() else None
    if "DataLoader worker process" in text and "Too many open files" in text:
        return DataError("a data worker found too many open files; raise the limit (ulimit -n) or set data.workers: 0")
    if "DataLoader worker process" in text and any(words in text for words in _NO_ROOM):
        return DataError(
            f"a data worker found no room in shared memory: {SHARED} has {_size(free)} free; set data.workers: 0, "
            "or make it larger (docker run --shm-size)"
        )
    for worker in workers:  # one that has just died may need a moment to say how
        worker.join(0.1)
    codes = sorted({worker.exitcode for worker in workers if worker.exitcode})
    if not codes:
        return None
    how = ", ".join(signal.Signals(-code).name if code < 0 else f"exit code {code}" for code in codes)
    little = free is not None and free < _LITTLE
    cause = f"{SHARED} has {_size(free)} free" if little else "perhaps the memory ran out"
    return DataError(f"a data worker died ({how}); {cause}; lower data.workers, or set it to 0")


def _size(count: int | None) -> str:
    if count is None:
        return "an unknown size"
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"
