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

if TYPE_CHECKING:
    from zoo.utils.progress import Progress as Report


def note(message: str) -> None:
    """Print a note on stderr."""
    click.echo(f"zoo: note: {message}", err=True)


@contextmanager
def showing_progress(what: str, quiet: bool) -> Iterator[Report]:
    """Show on stderr what is running and since when; yield a function that reports the progress.

    Nothing is shown if ``quiet`` or if stderr is piped, and nothing stays on the screen afterwards.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def report(what: str, done: int = 0, total: int = 0) -> None:
            progress.update(task, description=escape(what), completed=done, total=total or None)

        yield report


def progress_console() -> Console:
    """Return a console on stdout that never wraps lines when the output is piped."""
    return Console() if sys.stdout.isatty() else Console(width=200, soft_wrap=True)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table; the keys of the first row are the columns, and None becomes a dash."""
    if not rows:
        print("no rows")
        return
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_show(key, value)) for key, value in row.items()))
    progress_console().print(table)


def _show(key: str, value: Any) -> str:
    """Format a value by the name of its column."""
    if value is None:
        return "-"
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
        print(f"  {name:<{width}}  {value}")
