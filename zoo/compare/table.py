"""The table of a comparison: one group of rows per data set, as text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from zoo.compare.pairs import against_best
from zoo.compare.record import Record, facts

NOTES = (
    "Accuracy: of the first seed on the test split, with its 95 % Wilson interval; seeds: mean and sample standard "
    "deviation. p: McNemar's exact test against the most accurate model of the group, on the same samples, not "
    "corrected for the number of tests. Edges: weights other than 0; multiply-adds: per prediction, counted in the "
    "ONNX graph without zeros. Samples: those of the data set that training saw, repeats included. Time: processor "
    "seconds of the training; where they were not recorded, those of the clock (wall), which other work on a machine "
    "can multiply, so that they do not compare. Latency: the fastest of many calls on one thread, by the number of "
    "inputs per call. A baseline is marked with *."
)


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records by data set, the most accurate first."""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: (-record.accuracy, record.name)):
        found.setdefault(record.data, []).append(record)
    return dict(sorted(found.items()))


def rows(records: Sequence[Record]) -> list[dict[str, str]]:
    """Return the rows of one data set as text."""
    p = against_best(records)
    return [_row(record, p[record.name]) for record in records]


def to_markdown(records: Sequence[Record]) -> str:
    """Return a table per data set, under headings, and the notes."""
    parts = []
    for data, members in groups(records).items():
        shown = rows(members)
        lines = [list(shown[0]), ["---"] * len(shown[0]), *(list(row.values()) for row in shown)]
        parts.append(f"### {data}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([*parts, NOTES]) + "\n"


def to_csv(records: Sequence[Record]) -> str:
    """Return all facts as they are, one model a line."""
    out = io.StringIO()
    lines = [_flat(record) for members in groups(records).values() for record in members]
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _row(record: Record, p: float | None) -> dict[str, str]:
    low, high = record.interval
    seeds = str(record.seeds)
    if record.accuracy_mean is not None and record.accuracy_std is not None:
        seeds = f"{record.seeds}: {record.accuracy_mean:.2%} ± {record.accuracy_std:.2%}"
    return {
        "model": record.name + (" *" if record.baseline else ""),
        "accuracy": f"{record.accuracy:.2%} ({low:.2%} to {high:.2%})",
        "seeds": seeds,
        "p": "best" if p is None else _probability(p),
        "parameters": f"{record.parameters:,}",
        "edges": _count(record.edges),
        "multiply-adds": _count(record.multiply_adds),
        "samples": _count(record.samples),
        "time": _time(record),
        "latency 1": _latency(record, "1"),
        "latency 64": _latency(record, "64"),
        "file": "-" if record.file_bytes is None else f"{record.file_bytes / 1e6:.2f} MB",
    }


def _probability(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _time(record: Record) -> str:
    if record.cpu_seconds is not None:
        return f"{record.cpu_seconds:,.0f} s"
    return "-" if record.wall_seconds is None else f"{record.wall_seconds:,.0f} s (wall)"


def _latency(record: Record, batch: str) -> str:
    return f"{record.latency_ms[batch]:.3g} ms" if batch in record.latency_ms else "-"


def _flat(record: Record) -> dict[str, Any]:
    values = dict(facts(record))
    low, high = values.pop("interval_95")
    latency = values.pop("latency_ms")
    return {**values, "interval_low": low, "interval_high": high,
            **{f"latency_{size}_ms": latency.get(size) for size in ("1", "64")}}  # fmt: skip
