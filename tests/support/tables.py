"""A small model of a table with numbers, texts and booleans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk import InputSpec
from sdk.column_types import Category, Number
from sdk.columns import Columns
from tests.support.artifacts import write_tiny
from zoo.families.normnet.config import NormnetConfig

COLUMNS = Columns(
    (
        Number("age", example=36.0),
        Category("colour", ("blue", "green", "red"), example="red"),
        Category("member", ("false", "true")),
    )
)
FILLED = Columns(
    (
        Number("age", fill=40.0),
        Category("colour", ("blue", "green", "red"), fill="green"),
        Category("member", ("false", "true"), fill="true"),
    )
)
MEAN, STD = (40.0, 0.0, 0.0, 0.0, 0.0, 0.0), (10.0, 1.0, 1.0, 1.0, 1.0, 1.0)
ROWS: list[dict[str, Any]] = [
    {"age": 36, "colour": "red", "member": True},
    {"age": 51.5, "colour": "blue", "member": False},
    {"age": 20, "colour": "green", "member": True},
]
CSV = "member,age,colour\nTrue,36,red\nFalse,51.5,blue\nTrue,20,green\n"


def table_spec(columns: Columns = COLUMNS) -> InputSpec:
    """Return the input spec of the table."""
    return InputSpec("table", (6,), MEAN, STD, columns=columns)


def write_table_model(folder: Path, columns: Columns = COLUMNS, **changes: Any) -> Path:
    """Write an untrained network that takes rows of the table."""
    config = NormnetConfig(hidden=(8,))
    return write_tiny(folder, config, input_spec=table_spec(columns), labels=["no", "yes"], **changes)
