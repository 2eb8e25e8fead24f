"""Options that several commands share, and printing of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the data sets (default: the recipe's data.path, else $ZOO_DATA, else the user's cache).",
)
OVERRIDES = click.option(
    "-o",
    "--override",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a recipe key, such as train.epochs=5 (repeatable).",
)
QUIET = click.option("--quiet", is_flag=True, help="Hide progress.")
BACKEND = click.option("--backend", default="auto", show_default=True, help="Backend that runs the model.")


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON on stdout."""
    click.echo(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))  # JSON escapes all other control characters
