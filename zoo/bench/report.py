"""What a benchmark found: as tables for people, and as bench.json, bench.csv and bench.png."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zoo.bench.machine import busy_warning, facts_line
from zoo.utils.errors import BenchError
from zoo.utils.files import check_creatable, replacing_folder

FORMAT_VERSION = 1
_OURS = ("bench*.json", "bench*.csv", "bench*.png")


class Table(NamedTuple):
    """A title and rows of text with the same columns."""

    title: str
    rows: list[dict[str, str]]


@dataclass(frozen=True)
class Report:
    """A benchmark's settings and figures, all of them plain JSON values."""

    kind: str
    """kernels, train, predict or family."""
    subject: str
    """The recipe, model or family; empty for kernels."""
    machine: dict[str, Any]
    settings: dict[str, Any]
    facts: dict[str, Any]
    """What holds for the whole run."""
    results: dict[str, list[dict[str, Any]]]
    """Rows of equal keys under the name of their table; ``results`` is the main one."""

    @property
    def title(self) -> str:
        """What the report is called in documents: ``bench kernels``, ``bench train gridnet-mnist``."""
        return f"bench {self.kind} {self.subject}".strip()

    def to_json(self) -> dict[str, Any]:
        return {"format_version": FORMAT_VERSION, **asdict(self)}


def check_folder(folder: Path) -> None:
    """Raise BenchError unless a report can be written there; older reports may be replaced."""
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
    """Write bench.json, a CSV per table (the main one is bench.csv) and bench.png, all or nothing."""
    with replacing_folder(folder.absolute()) as place:
        (place / "bench.json").write_text(json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n")
        for name, rows in report.results.items():
            file = "bench.csv" if name == "results" else f"bench-{name}.csv"
            with (place / file).open("w", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        draw(report, place / "bench.png")


def check_docs(path: Path, title: str) -> None:
    """Raise BenchError unless the document has a block for this report: call it before hours of measuring."""
    _cut(path, title)


def write_docs(path: Path, report: Report, tables: list[Table]) -> None:
    """Replace what is between the document's ``<!-- begin: bench ... -->`` and ``<!-- end: bench ... -->``."""
    before, after = _cut(path, report.title)
    warning = busy_warning(report.machine)
    lines = ["", f"Measured on {facts_line(report.machine)}.", *([f"Note: {warning}."] if warning else [])]
    for table in tables:
        columns = list(table.rows[0])
        lines += ["", f"**{table.title}**", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line(list(row.values())) for row in table.rows]
    text = "\n".join([*lines, "", ""])
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(before + text + after, encoding="utf-8")
    temporary.replace(path)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cut(path: Path, title: str) -> tuple[str, str]:
    """The document up to and with the block's first marker, and from its last one on."""
    begin, end = f"<!-- begin: {title} -->", f"<!-- end: {title} -->"
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise BenchError(f"{path}: found no place for the tables; write one line {begin} and below it one line {end}")
    before, rest = text.split(begin)
    return before + begin, end + rest.split(end)[1]
