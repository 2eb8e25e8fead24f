"""Small benchmarks: run one through the command, and read its report."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from PIL import Image

from zoo.bench.cases import Case
from zoo.cli import cli
from zoo.kernels import runtime

SMALL = Case((6, 4, 8), batch=3, block=2)

ISAS = runtime.compiled().usable_isas()


def run(*arguments: str) -> Result:
    """Run ``zoo bench ARGUMENTS``."""
    return CliRunner().invoke(cli, ["bench", *arguments])


def read(folder: Path) -> dict[str, Any]:
    """Return a written report; its JSON, CSV and PNG files must be valid."""
    report: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    for name, rows in report["results"].items():
        file = folder / ("bench.csv" if name == "results" else f"bench-{name}.csv")
        with file.open(newline="") as stream:
            read_back = list(csv.DictReader(stream))
        assert [row.keys() for row in read_back] == [row.keys() for row in rows]
    with Image.open(folder / "bench.png") as picture:
        picture.verify()
        assert picture.format == "PNG"
    return report
