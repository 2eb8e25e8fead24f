"""The run folder: one process at a time holds it, and a new run destroys nothing in it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from sdk.artifact import RECIPE_FILE
from zoo.training.checkpoint import load_checkpoint, no_checkpoint
from zoo.training.metrics_log import METRICS_FILE
from zoo.training.result import CHECKPOINT_FILE, SAMPLE_FILE
from zoo.utils.errors import CheckpointError, TrainingError
from zoo.utils.locks import LockedError, folder_lock, make_folders, remove_empty

_WRITTEN = (RECIPE_FILE, METRICS_FILE, SAMPLE_FILE)


@contextmanager
def new_run_folder(name: str, parent: Path = Path("runs")) -> Iterator[Path]:
    """Create and yield the folder ``NAME-TIME`` of a new run, with ``-2`` and so on added if that exists.

    It is removed again if it stays empty.
    """
    if not is_first_process():
        yield parent / name
        return
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        created = make_folders(parent)
        folder = next(folder for folder in _candidates(parent / stem) if _is_new(folder))
    except OSError as error:
        raise TrainingError(f"cannot create a folder in {parent}: {error.strerror or error}; give --run-dir") from None
    try:
        yield folder
    finally:
        remove_empty([folder, *created])


@contextmanager
def hold(folders: Iterable[Path], resume: bool) -> Iterator[None]:
    """Hold run folders until the runs in them end; unless they are to be resumed, check that a new run may use them.

    Of several processes that train together, the first holds them. Raises TrainingError if another process holds one,
    if a new run would destroy something in it, or if it cannot be created.
    """
    if not is_first_process():
        yield
        return
    with ExitStack() as held:
        for folder in folders:
            if folder.exists() and not folder.is_dir():
                raise TrainingError(f"cannot write to {folder}: it is a file; give the run a folder")
            try:
                held.enter_context(folder_lock(folder))
            except LockedError as error:
                advice = "wait until it ends, or stop it" if resume else "give another --run-dir, or wait until it ends"
                raise TrainingError(f"{folder} is {error.strerror}; {advice}") from None
            except OSError as error:
                raise TrainingError(f"cannot write to {folder}: {error.strerror or error}") from None
            if not resume:
                _check_claimable(folder)
        yield


def check_resumable(folder: Path) -> None:
    """Raise CheckpointError if there is no checkpoint in the folder."""
    if not (folder / CHECKPOINT_FILE).is_file():
        raise CheckpointError(no_checkpoint(folder))


def seed_folders(run_dir: Path) -> dict[str, Path]:
    """Return the folders of the seeds of a run by name, such as seed-3, sorted by seed."""
    found = [path for path in run_dir.glob("seed-*") if re.fullmatch(r"seed-\d+", path.name)]
    return {path.name: path for path in sorted(found, key=lambda path: int(path.name.removeprefix("seed-")))}


def is_first_process() -> bool:
    """Return True in a process alone, and in the first of those that torchrun or accelerate launch started."""
    return os.environ.get("RANK", "0") == "0"


def _check_claimable(folder: Path) -> None:
    """Raise TrainingError if a new run in ``folder`` would destroy a run, or files that are not a run's."""
    if (folder / CHECKPOINT_FILE).exists():
        old = load_checkpoint(folder)
        if old["step"] >= old["total_steps"]:
            raise TrainingError(
                f"{folder} holds a finished run: `zoo train --resume {folder}` writes its model again without "
                "training; give a new run another --run-dir, or delete the folder"
            )
        if old["step"]:
            raise TrainingError(
                f"{folder} holds an unfinished run at step {old['step']} of {old['total_steps']}: "
                "resume it with --resume, or delete the folder"
            )
        return  # it stopped before its first checkpoint worth keeping
    found = [file for file in _WRITTEN if os.path.lexists(folder / file)]
    if found:
        raise TrainingError(
            f"{folder} holds {found[0]} and no checkpoint; a new run would replace it: give another --run-dir"
        )


def _candidates(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _is_new(folder: Path) -> bool:
    """Create the folder; return False if it exists."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True
