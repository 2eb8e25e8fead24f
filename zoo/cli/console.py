"""Output for people: consoles, tables and lists of facts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


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
