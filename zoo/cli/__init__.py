"""The ``zoo`` command: the group of all commands, and the translation of errors to exit codes.

Commands import their implementation only when they run, so that ``zoo list`` and ``zoo --help`` load neither torch nor
onnx.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

import sdk
from sdk.errors import UnknownModelError
from zoo.cli.artifact import card, export, probe
from zoo.cli.bench import bench
from zoo.cli.compare import compare
from zoo.cli.console import note, say
from zoo.cli.doctor import doctor
from zoo.cli.find_lr import find_lr
from zoo.cli.groups import SuggestingGroup
from zoo.cli.listing import info, list_command
from zoo.cli.new import new
from zoo.cli.prediction import eval_command, predict
from zoo.cli.recipe import recipe
from zoo.cli.sharing import pull, push, search
from zoo.cli.sweep import sweep
from zoo.cli.train import train
from zoo.cli.web import web
from zoo.utils.errors import TrainingInterruptedError
from zoo.utils.signals import exit_code, stop_behind, stop_signals

# Errors that a user can cause and fix, printed on one line. Any other exception is reported as a bug.
USER_ERRORS = (sdk.CellzooError, OSError)
# Import names of the packages that the extra `train` installs.
TRAINING_PACKAGES = (
    "torch", "torchvision", "accelerate", "sklearn", "scipy", "onnx", "onnxscript", "matplotlib", "jinja2",
    "tensorboard", "optuna", "sqlalchemy",
)  # fmt: skip


class _Commands(SuggestingGroup):
    """A group that turns errors into one line on stderr and an exit code; ``--debug`` shows tracebacks instead."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _usage_on_one_line():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with stop_signals():
                return self._run(ctx)
        except KeyboardInterrupt as stop:  # while the line about another one was printed
            if ctx.params.get("debug"):
                raise
            _fail(*_explain(stop, None))

    def _run(self, ctx: click.Context) -> Any:
        try:
            with _usage_on_one_line(), _warnings_as_notes():
                return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):  # click handles these
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.params.get("debug"):
                raise
            _fail(*_explain(error, ctx.invoked_subcommand))


def _explain(error: Exception | KeyboardInterrupt, command: str | None) -> tuple[str, int]:
    """Return the message and the exit code for an error of a command, or for a signal that ended it."""
    if isinstance(error, TrainingInterruptedError):
        return str(error), error.exit_code
    stop = stop_behind(error)
    if stop is not None:
        return "interrupted", exit_code(stop)
    if isinstance(error, UnknownModelError):
        from zoo.recipe import recipe_names

        if error.name in recipe_names():
            return f"{error.name} is a recipe without a trained model; train it with `zoo train {error.name}`", 1
    if isinstance(error, USER_ERRORS):
        return str(error), 1
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in TRAINING_PACKAGES:
        return (
            f"zoo {command} needs the training side, which is not installed (no {package}); "
            "run: pip install 'cellzoo[train]'"
        ), 1
    return f"unexpected {type(error).__name__}: {error} (this is a bug; zoo --debug shows the traceback)", 70


@contextmanager
def _usage_on_one_line() -> Iterator[None]:
    """Exit on a usage error with one line instead of click's several."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "zoo"
        _fail(f"{error.format_message().rstrip('.')} (see {command} --help)", error.exit_code)


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print each warning of cellzoo as one note on stderr, without a line of source; leave those of others alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", sdk.CellzooWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, sdk.CellzooWarning):
                note(str(message))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _fail(message: str, code: int) -> None:
    for line in message.splitlines() or [""]:
        say(f"zoo: error: {line}", err=True)
    sys.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show tracebacks instead of one-line errors.")
@click.version_option(sdk.__version__, prog_name="zoo")
def cli(debug: bool) -> None:
    """Train, measure and use networks that organise themselves from local rules."""


for _command in (
    bench,
    card,
    compare,
    doctor,
    eval_command,
    export,
    find_lr,
    info,
    list_command,
    new,
    predict,
    probe,
    pull,
    push,
    recipe,
    search,
    sweep,
    train,
    web,
):
    cli.add_command(_command)
