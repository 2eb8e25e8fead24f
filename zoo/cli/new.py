"""``zoo new``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.console import say
from zoo.cli.groups import SuggestingGroup


@click.group(cls=SuggestingGroup, short_help="Write a package to start from.")
def new() -> None:
    """Write a package to start from."""


@new.command(short_help="Write a package with a family of your own.")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the package (default: cellzoo-NAME).")
def family(name: str, out: Path | None) -> None:
    """Write a package with a family NAME that trains: module, ONNX graph, probe, recipe and tests."""
    from zoo.scaffold.family import write_family

    folder = write_family(name, out)
    recipe = next(folder.glob("*.yaml"))
    say(f"package: {folder}")
    say("next:")
    for command in (f"pip install -e '{folder}[test]'", f"pytest '{folder}'", f"zoo train '{recipe}'"):
        say(f"  {command}")
