"""The figure of each kind of benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from zoo.bench.report import PHASES, Report

_WIDTH = 9.0  # inches


def draw(report: Report, path: Path) -> None:
    """Write the report's figure as PNG."""
    drawings = {"kernels": _draw_kernels, "train": _draw_train, "predict": _draw_predict, "family": _draw_family}
    drawings[report.kind](report).savefig(path, dpi=120)


def _draw_kernels(report: Report) -> Figure:
    rows = report.results["results"]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    figure = Figure(figsize=(_WIDTH, 2.4 * len(cases)), layout="constrained")
    peak = max(spread["median"] for spread in report.facts["peak_gflops"].values())
    for axes, case in zip(figure.subplots(len(cases), 1, sharex=True, squeeze=False)[:, 0], cases, strict=True):
        here = [row for row in rows if row["case"] == case]
        rates = [row["gflops"] for row in here]
        errors = [
            [row["gflops"] - row["gflops_min"] for row in here],
            [row["gflops_max"] - row["gflops"] for row in here],
        ]
        bars = axes.barh([row["contender"] for row in here], rates, xerr=errors, color="tab:blue", ecolor="black")
        axes.bar_label(bars, [f" {rate:.3g}" for rate in rates])
        axes.axvline(peak, color="tab:red", label=f"multiply-add peak {peak:.3g}")
        axes.axvline(here[0]["roofline_gflops"], color="tab:orange", linestyle="--", label="roofline")
        axes.set(title=f"{case}, {here[0]['setting']}", xscale="log")
        axes.invert_yaxis()
        axes.legend(loc="lower right", fontsize="small")
    axes.set_xlabel("useful GFLOP/s (bar: median, line: smallest to largest)")
    return figure


def _draw_train(report: Report) -> Figure:
    rows = report.results["results"]
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.8 * len(rows)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(rows)
    for phase in PHASES:
        share = [100 * row[f"{phase}_seconds"] / row["step_seconds"] for row in rows]
        axes.barh([_rate(row, report.subject) for row in rows], share, left=left, label=phase)
        left = [a + b for a, b in zip(left, share, strict=True)]
    title = f"One training step of {report.subject}" if report.subject else "Training steps"
    axes.set(title=title, xlabel="percent of the step")
    axes.invert_yaxis()
    axes.legend(ncols=4, fontsize="small")
    return figure


def _rate(row: dict[str, Any], subject: str) -> str:
    """Return the label of a bar, which differs from all others."""
    recipe = "" if subject else f"{row['recipe']}, "
    return f"{recipe}{row['contender']}\n{row['samples_per_second']:.3g} samples/s"


def _draw_predict(report: Report) -> Figure:
    rows = report.results["results"]
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [f"{row['contender']}, batch {row['batch']}" for row in rows]
    for key, marker in (("p50", "o"), ("p90", "|"), ("p99", "x")):
        axes.plot([1e3 * row[f"{key}_seconds"] for row in rows], names, marker, label=key)
    axes.set(title=f"Latency of {report.subject}", xlabel="milliseconds per call", xscale="log")
    axes.invert_yaxis()
    axes.legend(fontsize="small")
    return figure


def _draw_family(report: Report) -> Figure:
    """Draw a panel of bars for each column of numbers; the columns of text name the bars."""
    rows = report.results["results"]
    columns = [key for key in rows[0] if any(isinstance(row[key], float) for row in rows)]
    names = [", ".join(str(value) for value in row.values() if isinstance(value, str)) for row in rows]
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.4 * len(rows)), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(columns), sharey=True, squeeze=False)[0], columns, strict=True):
        bars = axes.barh(range(len(rows)), [row[key] or 0.0 for row in rows])
        axes.bar_label(bars, ["-" if row[key] is None else f" {row[key]:.3g}" for row in rows], fontsize="small")
        axes.set(title=key, yticks=range(len(rows)), yticklabels=names)
        axes.margins(x=0.2)
    figure.axes[0].invert_yaxis()
    return figure
