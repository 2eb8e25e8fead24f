"""The tables of a report in a Markdown document, between two comments that carry the benchmark's name."""

from __future__ import annotations

from pathlib import Path

from zoo.bench.machine import busy_warning, facts_line
from zoo.bench.report import Report, Table
from zoo.utils.errors import BenchError


def check_docs(path: Path, title: str) -> None:
    """Raise BenchError unless the document has a block for this report; call it before hours of measuring."""
    _cut(path, title)


def write_docs(path: Path, report: Report, tables: list[Table]) -> None:
    """Replace the text between the document's ``<!-- begin: bench ... -->`` and ``<!-- end: bench ... -->``.

    Raises BenchError if the document has no such block.
    """
    before, after = _cut(path, report.title)
    warning = busy_warning(report.machine)
    lines = ["", f"Measured on {facts_line(report.machine)}.", *([f"Note: {warning}."] if warning else [])]
    for table in tables:
        columns = list(table.rows[0])
        lines += ["", f"**{table.title}**", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line(list(row.values())) for row in table.rows]
        lines += [line for note in table.notes for line in ("", f"Note: {note}.")]
    text = "\n".join([*lines, "", ""])
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(before + text + after, encoding="utf-8")
    temporary.replace(path)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cut(path: Path, title: str) -> tuple[str, str]:
    """Return the document up to the block's first marker and from its last marker on, markers included."""
    begin, end = f"<!-- begin: {title} -->", f"<!-- end: {title} -->"
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise BenchError(f"{path}: found no block for the tables; add one line {begin} and below it one line {end}")
    before, rest = text.split(begin)
    return before + begin, end + rest.split(end)[1]
