"""Trials side by side: processes that each run one trial after the other, and that end with the sweep."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import cast

from zoo.sweep.trial import Outcome, Task, run_trial
from zoo.utils.errors import SweepError


class Workers:
    """Runs up to ``jobs`` trials at a time; a single job runs in this process."""

    def __init__(self, jobs: int) -> None:
        self._idle: list[Connection] = []
        self._busy: list[Connection] = []
        self._task: Task | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []
        for _ in range(jobs if jobs > 1 else 0):
            context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, jobs), name="zoo sweep")
            process.start()
            there.close()
            self._processes.append(process)
            self._idle.append(here)

    @property
    def free(self) -> bool:
        """True if another trial may start."""
        return bool(self._idle) if self._processes else self._task is None

    @property
    def busy(self) -> bool:
        """True while a trial runs."""
        return bool(self._busy) or self._task is not None

    def start(self, task: Task) -> None:
        """Start a trial on a free worker."""
        if not self._processes:
            self._task = task
            return
        connection = self._idle.pop()
        with _naming_death():
            connection.send(task)
        self._busy.append(connection)

    def finished(self) -> Outcome:
        """Wait for a trial and return its end; raises what ended it, and SweepError if its process died."""
        if self._task is not None:
            task, self._task = self._task, None
            return run_trial(task)
        connection = cast(Connection, wait(self._busy)[0])
        with _naming_death():
            found = connection.recv()
        self._busy.remove(connection)
        self._idle.append(connection)
        if isinstance(found, BaseException):
            raise found
        return cast(Outcome, found)

    def close(self) -> None:
        """End the processes, and with them the trials that still run."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


@contextmanager
def _naming_death() -> Iterator[None]:
    """Raise SweepError if the process at the other end of a connection has died."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise SweepError("a process of the sweep has died, perhaps for lack of memory: try fewer --jobs") from None


@contextmanager
def workers(jobs: int) -> Iterator[Workers]:
    """Yield workers that end with the block."""
    pool = Workers(jobs)
    try:
        yield pool
    finally:
        pool.close()


def _work(connection: Connection, jobs: int) -> None:
    """Run the trials that arrive until the sweep ends, however it ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    while True:
        try:
            connection.send(run_trial(connection.recv()))
        except (EOFError, KeyboardInterrupt):  # the sweep has ended, or is about to
            return
        except Exception as error:
            connection.send(error)


def _end_with_parent() -> None:
    """End this process when its parent is gone, which after a kill can tell no one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
