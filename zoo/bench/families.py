"""``zoo bench family``: run the benchmark that a family provides."""

from __future__ import annotations

from typing import Any

import torch

from zoo.bench.machine import Watch, machine_facts
from zoo.bench.report import Report, Table
from zoo.families.registry import families_with, get_family, load_hook
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say, say_nothing


def bench_family(name: str, threads: int | None = None, quick: bool = False, say: Say = say_nothing) -> Report:
    """Run a family's benchmark on ``threads`` threads (default: torch's number, which is restored afterwards).

    ``quick`` takes seconds and only shows that everything runs. ``say`` gets a line per contender.

    Raises FamilyError for an unknown family and BenchError for one without a benchmark.
    """
    family = get_family(name)
    if family.bench is None:
        benched = ", ".join(families_with("bench")) or "none"
        raise BenchError(f"family {name} has no benchmark; families that have one: {benched}")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        facts, watch = machine_facts(), Watch()
        rows = load_hook(family.bench)(quick=quick, say=say)
    finally:
        torch.set_num_threads(before)
    if not any(isinstance(value, float) for row in rows for value in row.values()):
        raise BenchError(f"the benchmark of family {name} measured nothing: its rows hold no float")
    return Report(
        kind="family",
        subject=name,
        machine={**facts, "other_processes": watch.others()},
        settings={"quick": quick},
        facts={},
        results={"results": rows},
    )


def tables(report: Report) -> list[Table]:
    """Return the report as tables to print."""
    rows = [{key: _show(value) for key, value in row.items()} for row in report.results["results"]]
    return [Table(f"Family {report.subject}", rows)]


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)
