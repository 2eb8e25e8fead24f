"""Training that ends early: one line that says how to continue it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sdk.errors import CellzooError
from zoo.utils.errors import ExportError, TrainingInterruptedError
from zoo.utils.signals import exit_code, stop_behind


@dataclass
class Stop:
    """The command and the phase to name when the command ends early."""

    command: Callable[[], str | None] = lambda: None
    """Returns the command that continues the run, or None if there is nothing to continue."""
    trained: bool = False


@contextmanager
def explaining_stops() -> Iterator[Stop]:
    """Say how to continue when a signal, or an artifact that cannot be written, ends the command."""
    stop = Stop()
    try:
        yield stop
    except TrainingInterruptedError as error:
        raise TrainingInterruptedError(_with_command(str(error), stop), error.exit_code) from None
    except (Exception, KeyboardInterrupt) as error:
        found = stop_behind(error)
        if found is not None:
            phase = "while the artifact was written" if stop.trained else "while the training was prepared"
            raise TrainingInterruptedError(_with_command(f"interrupted {phase}", stop), exit_code(found)) from None
        if not stop.trained or not isinstance(error, CellzooError | OSError):
            raise
        text = f"{error}; the finished run is kept"
        raise ExportError(_with_command(text, stop, "write its artifact with")) from error


def _with_command(text: str, stop: Stop, advice: str = "continue with") -> str:
    command = stop.command()
    return f"{text}; {advice}: {command}" if command else text


def resume_command(
    folder: Path | None, options: dict[str, object], flags: dict[str, bool], track: Sequence[str] = ()
) -> str | None:
    """Return the command that continues an interrupted run; None if it has no checkpoint yet.

    Options that are None and flags that are False are left out.
    """
    from zoo.cli.next_steps import programs
    from zoo.training.result import CHECKPOINT_FILE

    folders = [] if folder is None else [folder, *folder.glob("seed-*")]
    if not any((one / CHECKPOINT_FILE).is_file() for one in folders):
        return None
    given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
    given += [text for name in track for text in ("--track", name)]
    set_flags = [flag for flag, value in flags.items() if value]
    return shlex.join([*programs()[1], "train", "--resume", str(folder), *given, *set_flags])
