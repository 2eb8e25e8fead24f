"""Output for people: consoles, tables and lists of facts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from sdk.text import printable

if TYPE_CHECKING:
    from zoo.utils.progress import Progress as Report


def say(text: str = "", err: bool = False, bold: bool = False, end: bool = True) -> None:
    """Print text on stdout, or on stderr, with escapes for what a terminal would obey; every command prints by this.

    Line breaks stay; for a value from outside, which should have none, use :func:`sdk.text.printable` as well.
    """
    click.secho(printable(text, lines=True), err=err, bold=bold or None, nl=end)


def note(message: str) -> None:
    """Print a note on stderr."""
    say(f"zoo: note: {message}", err=True)


@contextmanager
def showing_progress(what: str, quiet: bool) -> Iterator[Report]:
    """Show on stderr what is running and since when; yield a function that reports the progress.

    Nothing is shown if ``quiet`` or if stderr is piped, and nothing stays on the screen afterwards.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task(escape(printable(what)), total=None)

        def report(what: str, done: int = 0, total: int = 0) -> None:
            progress.update(task, description=escape(printable(what)), completed=done, total=total or None)

        yield report


def progress_console() -> Console:
    """Return a console on stdout that never wraps lines when the output is piped."""
    return Console() if sys.stdout.isatty() else Console(width=200, soft_wrap=True)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table; the keys of the first row are the columns, and None becomes a dash."""
    if not rows:
        say("no rows")
        return
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(_show(key, value))) for key, value in row.items()))
    progress_console().print(table)


def _show(key: str, value: Any) -> str:
    """Format a value by the name of its column."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if key == "accuracy":
        return f"{value:.2%}"
    if key == "size":
        return f"{value / 1e6:.2f} MB"
    if key == "parameters":
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values in two aligned columns."""
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"  {printable(name):<{width}}  {printable(value)}")
