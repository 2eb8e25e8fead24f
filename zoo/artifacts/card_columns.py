"""The part of a model card on the columns of a table: their kinds, and a row to try."""

from __future__ import annotations

import json
import re
from typing import Any

from sdk.artifact import ArtifactConfig
from sdk.column_types import Category, Column
from sdk.columns import Columns

MOST_COLUMNS = 40
"""Most columns that a card lists."""
_MOST_CATEGORIES = 10


def columns_table(config: ArtifactConfig) -> list[tuple[str, str, str]]:
    """Return name, kind with its values, and treatment of missing values of each column, as Markdown."""
    columns = config.input.columns
    if columns is None:
        return []
    rows = [(_code(column.name), _kind(column), _missing(column)) for column in columns.columns[:MOST_COLUMNS]]
    if len(columns.columns) > MOST_COLUMNS:
        rows.append(("...", f"{len(columns.columns)} columns in all, in `config.json`", ""))
    return rows


def example_row(config: ArtifactConfig) -> str:
    """Return a typical row as a Python dict, one column per line; nothing for a table of too many columns."""
    columns = config.input.columns
    if columns is None or len(columns.columns) > MOST_COLUMNS:
        return ""
    lines = (f"    {literal(name)}: {_value(name, value, columns)}," for name, value in columns.example().items())
    return "{\n" + "\n".join(lines) + "\n}"


def _kind(column: Column) -> str:
    if not isinstance(column, Category):
        return "number"
    if column.boolean:
        return "boolean"
    more = f", ... ({len(column.categories)})" if len(column.categories) > _MOST_CATEGORIES else ""
    return f"one of {', '.join(_code(category) for category in column.categories[:_MOST_CATEGORIES])}{more}"


def _missing(column: Column) -> str:
    if column.fill is None:
        return "an error"
    return _code(column.fill) if isinstance(column.fill, str) else f"{column.fill:.6g}"


def _value(name: str, value: Any, columns: Columns) -> str:
    column = columns.columns[columns.names.index(name)]
    if isinstance(column, Category):
        return str(value == "true") if column.boolean else literal(str(value))
    return repr(value)


def literal(text: str) -> str:
    """Return a text as a string of Python and JSON that cannot pass for the card's markers of notes."""
    return json.dumps(text, ensure_ascii=False).replace("<!--", "\\u003c!--")


def _code(text: str) -> str:
    """Return a text as code in a cell of a Markdown table."""
    shown = literal(text).replace("|", "\\|")
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", shown))))
    return f"{fence} {shown} {fence}"
