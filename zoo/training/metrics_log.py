"""The log of a run: ``metrics.jsonl``, trackers on request, and a live progress bar."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sdk.text import printable
from zoo.training.checkpoint import rescue
from zoo.training.trackers import Trackers
from zoo.utils.errors import RunFolderError, RunWarning
from zoo.utils.files import replace_file, sync
from zoo.utils.locks import has_lost

METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Writes one JSON object per line; ``kind`` is ``step``, ``round`` (with validation) or ``test``.

    A ``silent`` log, as in every process but the first, writes nothing and shows nothing.
    """

    def __init__(self, run_dir: Path, total: int, *, silent: bool, progress: bool) -> None:
        self.silent = silent
        self.run_dir = run_dir
        self.path = run_dir / METRICS_FILE
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=silent or not progress,
        )
        self.task = self.bar.add_task("training", total=total, numbers="")
        self.trackers: Trackers | None = None
        self._since = (0, time.perf_counter())

    def start(self, step: int, history: Sequence[dict[str, Any]] = ()) -> None:
        """Start at ``step``: drop the lines that an earlier attempt wrote beyond it, and add rounds that it did not.

        ``history`` has the rounds up to ``step``, as the checkpoint holds them. Raises RunFolderError.
        """
        if self.silent:
            return
        records = [record for record in _read(self.path) if _is_until(record, step)] if step else []
        logged = {record["step"] for record in records if record["kind"] == "round"}
        records += [{"kind": "round", **record} for record in history if record["step"] not in logged]
        records.sort(key=lambda record: (record["step"], record["kind"] == "round"))
        with self._naming_errors():
            replace_file(self.path, "".join(f"{json.dumps(record)}\n" for record in records).encode())
        self._since = (step, time.perf_counter())
        self.bar.update(self.task, completed=step)
        self.bar.start()

    def note(self, line: str) -> None:
        """Print a line about the run, such as what its data are, if it is not empty."""
        if line:
            self._print(line)

    def warn(self, line: str) -> None:
        """Print a line about a fault that does not end the run; without progress, give it as a RunWarning."""
        if self.bar.disable:
            warnings.warn(RunWarning(line), stacklevel=2)
        else:
            self._print(line)

    def advance(self, step: int) -> None:
        """Move the progress bar to ``step``."""
        self.bar.update(self.task, completed=step)

    def end(self, step: int) -> None:
        """Let the progress bar end at ``step``, because the training does."""
        self.bar.update(self.task, total=step)

    def step(self, step: int, batch_size: int, record: dict[str, float]) -> None:
        """Log a training step and the samples per second since the previous logged step."""
        last, since = self._since
        now = time.perf_counter()
        self._since = (step, now)
        rate = (step - last) * batch_size / (now - since)
        self._write({"kind": "step", "step": step, **record, "samples_per_second": rate})
        self.bar.update(self.task, numbers=f"{_format(record)} {rate:.0f} samples/s")

    def round(self, record: dict[str, Any]) -> None:
        """Log a round of training with its validation, and print a line that stays in the terminal."""
        self._write({"kind": "round", **record})
        self._print(
            f"step {record['step']} (epoch {record['epoch']:g}): train loss {record['train_loss']:.4f}, "
            f"validation loss {record['validation_loss']:.4f}, accuracy {record['validation_accuracy']:.2%}, "
            f"{record['seconds']:.0f} s"
        )
        self._since = (record["step"], time.perf_counter())  # leave validation out of the training rate

    def test(self, record: dict[str, Any]) -> None:
        """Log the result on the test split, and print it."""
        self._write({"kind": "test", **record})
        low, high = record["interval"]
        self._print(
            f"test accuracy {record['accuracy']:.2%} ({record['correct']}/{record['total']}, "
            f"95% interval {low:.2%} to {high:.2%})"
        )

    def sync(self) -> None:
        """Have the system write the log to its disk, so that it is never behind a checkpoint. Raises RunFolderError."""
        if not self.silent:
            with self._naming_errors():
                sync(self.path)

    def close(self) -> None:
        """Stop the progress bar and close the trackers."""
        self.bar.stop()
        if self.trackers is not None:
            self.trackers.close()

    def _write(self, record: dict[str, Any]) -> None:
        if self.silent:
            return
        with self._naming_errors(), self.path.open("ab", buffering=0) as file:
            file.write(f"{json.dumps(record)}\n".encode())  # one system call, so that a kill leaves whole lines
        if self.trackers is not None:
            self.trackers.log(record)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        if self.run_dir.is_dir() and has_lost(self.run_dir):
            raise RunFolderError(
                f"cannot write {self.path}: its folder or the lock in it was deleted meanwhile, so another run may be "
                "there; this run has ended, start it again in another folder"
            )
        try:
            yield
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self.path}: {error.strerror or error}; {rescue(self.run_dir)}"
            ) from None

    def _print(self, line: str) -> None:
        if not self.bar.disable:
            self.bar.console.print(printable(line, lines=True), markup=False, highlight=False, soft_wrap=True)


def read_rounds(run_dir: Path) -> list[dict[str, Any]]:
    """Return the records of a run's rounds so far, in order: step, epoch, lr, losses, accuracies and seconds."""
    return [record for record in _read(run_dir / METRICS_FILE) if record["kind"] == "round"]


def read_test(run_dir: Path) -> dict[str, Any] | None:
    """Return a finished run's test record (step, accuracy, correct, total, loss, interval); None if it has none."""
    return next((record for record in _read(run_dir / METRICS_FILE) if record["kind"] == "test"), None)


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the whole records of a log, none if it is missing."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return [record for record in map(_parse, text.splitlines()) if record is not None]


def _is_until(record: dict[str, Any], step: int) -> bool:
    return record["kind"] in ("step", "round") and record["step"] <= step


def _parse(line: str) -> dict[str, Any] | None:
    """Return the record in a line; None for what a kill or a full disk left of one."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and {"kind", "step"} <= record.keys() else None


def _format(record: dict[str, float]) -> str:
    return " ".join(f"{key} {record[key]:.3f}" for key in ("loss", "accuracy") if key in record)
