"""The report of a benchmark: tables to print, and the files bench.json, bench.csv and bench.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zoo.utils.errors import BenchError
from zoo.utils.files import check_creatable, replacing_folder

FORMAT_VERSION = 1
PHASES = ("data", "forward", "backward", "optimizer")
"""The parts of a training step, in order."""

_OURS = ("bench*.json", "bench*.csv", "bench*.png")


class Table(NamedTuple):
    """A title, rows of text with equal columns, and sentences below them."""

    title: str
    rows: list[dict[str, str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The settings and figures of a benchmark, all of them plain JSON values."""

    kind: str
    """kernels, train, predict or family."""
    subject: str
    """The recipe, model or family; empty for kernels, and for several recipes."""
    machine: dict[str, Any]
    settings: dict[str, Any]
    facts: dict[str, Any]
    """Measurements that hold for the whole run."""
    results: dict[str, list[dict[str, Any]]]
    """Rows with equal keys by the name of their table; ``results`` is the main table."""

    @property
    def title(self) -> str:
        """The name of the report in documents: ``bench kernels``, ``bench train gridnet-mnist``."""
        return f"bench {self.kind} {self.subject}".strip()

    def to_json(self) -> dict[str, Any]:
        """Return the content of bench.json."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}


def check_folder(folder: Path) -> None:
    """Raise BenchError unless a report can be written to ``folder``; an older report may be replaced."""
    if folder.exists():
        own = {path for pattern in _OURS for path in folder.glob(pattern)}
        foreign = (
            sorted(path.name for path in folder.iterdir() if path not in own) if folder.is_dir() else [folder.name]
        )
        if foreign:
            raise BenchError(f"{folder} holds other files ({', '.join(foreign)}); give --out a new folder")
    try:
        check_creatable(folder.absolute())
    except OSError as error:
        raise BenchError(f"cannot write {folder}: {error.strerror or error}; give --out a new folder") from error


def save(report: Report, folder: Path, draw: Callable[[Report, Path], None]) -> None:
    """Write bench.json, a CSV per table (the main one is bench.csv) and bench.png to ``folder``, atomically."""
    with replacing_folder(folder.absolute(), overwrite=True, check=lambda old, _: check_folder(old)) as place:
        (place / "bench.json").write_text(json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n")
        for name, rows in report.results.items():
            file = "bench.csv" if name == "results" else f"bench-{name}.csv"
            with (place / file).open("w", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        draw(report, place / "bench.png")
