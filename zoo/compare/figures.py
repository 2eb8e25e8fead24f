"""Figures of a comparison: accuracy against cost with the Pareto front, and learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.compare.record import Record
from zoo.compare.table import groups

_MARKERS = "osD^vPX<>p*h"


def draw_pareto(records: Sequence[Record]) -> Figure:
    """Draw accuracy against multiply-adds and against parameters, a row of panels per data set."""
    found = groups(records)
    figure = Figure(figsize=(12, 0.8 + 4.2 * len(found)), layout="constrained")
    families = sorted({record.family for record in records})
    looks = {family: (f"C{n % 10}", _MARKERS[n % len(_MARKERS)]) for n, family in enumerate(families)}
    panels = figure.subplots(len(found), 2, squeeze=False)
    for row, (data, members) in zip(panels, found.items(), strict=True):
        _panel(row[0], members, lambda r: r.multiply_adds, "multiply-adds per prediction", looks)
        _panel(row[1], members, lambda r: r.parameters, "parameters", looks)
        row[0].set_ylabel("test accuracy, %")
        row[0].set_title(data, loc="left")
    handles = [panels[0, 0].plot([], [], look[1], color=look[0], label=family)[0] for family, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize="small")
    return figure


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (cost, accuracy) points that no other beats in both, by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


def _panel(
    axes: Axes,
    records: Sequence[Record],
    cost: Callable[[Record], int | None],
    label: str,
    looks: Mapping[str, tuple[str, str]],
) -> None:
    known = [(value, record) for record in records if (value := cost(record))]
    for value, record in known:
        colour, marker = looks[record.family]
        low, high = record.interval
        axes.errorbar(
            value, 100 * record.accuracy,
            yerr=[[100 * (record.accuracy - low)], [100 * (high - record.accuracy)]],
            fmt=marker, color=colour, mfc="white" if record.baseline else colour, elinewidth=0.7,
        )  # fmt: skip
        axes.annotate(record.name, (value, 100 * record.accuracy), (4, 3), textcoords="offset points", fontsize=6)
    if known:
        line = front([(value, 100 * record.accuracy) for value, record in known])
        axes.step(*zip(*line, strict=True), where="post", color="grey", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    axes.margins(x=0.15)


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw validation accuracy and training loss against the training samples seen, a line per run."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for key, axes, scale, label in (
        ("validation_accuracy", panels[0], 100, "validation accuracy, %"),
        ("train_loss", panels[1], 1, "training loss"),
    ):
        for name, rounds in runs.items():
            axes.plot([one["samples"] for one in rounds], [scale * one[key] for one in rounds], label=name)
        axes.set(xlabel="training samples seen", ylabel=label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    return figure
