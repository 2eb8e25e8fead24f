"""``zoo doctor``."""

from __future__ import annotations

import sys

import click
from rich.markup import escape

from sdk.text import printable
from zoo.cli.console import progress_console
from zoo.cli.options import AS_JSON, print_json


@click.command(short_help="Check this install.")
@click.option("--offline", is_flag=True, help="Skip the request to the Hub.")
@AS_JSON
def doctor(offline: bool, as_json: bool) -> None:
    """Check this install: packages, kernels, GPU, data and the Hub, with a remedy for each problem."""
    from zoo.cli.checks import examine

    checks = examine(offline)
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        console = progress_console()
        for check in checks:
            mark = {"ok": "[green]ok[/]  ", "note": "[yellow]note[/]", "bad": "[red]bad[/] "}[check.status]
            console.print(f"{mark} {check.what}: {escape(printable(check.found))}", highlight=False)
            if check.remedy:
                console.print(f"     -> {escape(printable(check.remedy))}", highlight=False)
    if any(check.status == "bad" for check in checks):
        sys.exit(1)
