"""Figures of a comparison: accuracy against cost with the Pareto front, and learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from sdk.plot.style import SERIES
from zoo.compare.record import Record
from zoo.compare.table import groups

_MARKERS = "osD^vPX<>p*h"
_TEXT = 6
_TICKS = (0, 20, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99)
_COSTS: Mapping[str, Callable[[Record], int | None]] = {
    "multiply-adds per prediction": lambda record: record.multiply_adds,
    "parameters": lambda record: record.parameters,
}


def draw_pareto(records: Sequence[Record]) -> Figure:
    """Draw accuracy against multiply-adds and against parameters, a row of panels per data set."""
    found = groups(records)
    figure = Figure(figsize=(12, 0.8 + 4.2 * len(found)), layout="constrained")
    families = sorted({record.family for record in records})
    looks = {family: (SERIES[n % len(SERIES)], _MARKERS[n % len(_MARKERS)]) for n, family in enumerate(families)}
    panels = figure.subplots(len(found), 2, squeeze=False)
    for row, (data, members) in zip(panels, found.items(), strict=True):
        for axes, (label, cost) in zip(row, _COSTS.items(), strict=True):
            _panel(axes, members, cost, label, looks)
        row[0].set_ylabel("test accuracy, %")
        row[0].set_title(data, loc="left")
    handles = [panels[0, 0].plot([], [], look[1], color=look[0], label=family)[0] for family, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize="small")
    figure.draw_without_rendering()  # which gives the panels their places
    for row, members in zip(panels, found.values(), strict=True):
        for axes, cost in zip(row, _COSTS.values(), strict=True):
            known = [(value, record) for record in members if (value := cost(record))]
            _label(axes, [(value, _shown(record, record.accuracy), record.name) for value, record in known])
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
        accuracy, (low, high) = _shown(record, record.accuracy), record.interval
        axes.errorbar(
            value, accuracy, yerr=[[accuracy - _shown(record, low)], [_shown(record, high) - accuracy]],
            fmt=marker, color=colour, mfc="white" if record.baseline else colour, elinewidth=0.7,
        )  # fmt: skip
    if known:
        line = front([(value, _shown(record, record.accuracy)) for value, record in known])
        axes.step(*zip(*line, strict=True), where="post", color="grey", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
    # Even in the logarithm of the error: most models lie within a point of each other.
    axes.set_yscale("function", functions=(_spread, lambda y: 100 - np.exp(-np.asarray(y))))
    ends = [_spread(_shown(record, end)) for record in records for end in record.interval]
    margin = 0.05 * (max(ends) - min(ends))
    low, high = 100 - np.exp(margin - min(ends)), 100 - np.exp(-margin - max(ends))
    axes.set_ylim(low, high)
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlabel(label)
    axes.grid(alpha=0.3)
    axes.margins(x=0.15)


def _spread(percent: ArrayLike) -> Any:
    return -np.log(np.maximum(100 - np.asarray(percent), 1e-6))


def _shown(record: Record, accuracy: float) -> float:
    """Return an accuracy in percent, at most that of half a wrong answer: the axis has no room for 100 %."""
    return 100 * min(accuracy, 1 - 0.5 / record.total)


def _label(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write the names beside the points (x, y, name), each where it covers no other name, as far as there is room."""
    to_points = 72 / axes.figure.dpi
    taken: list[tuple[float, float, float, float]] = []
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        across, up = axes.transData.transform((x, y)) * to_points
        width = _TEXT * 0.62 * len(name)
        places = [(dx, dy) for dy in (3, -8, 10, -15, 17, -22, 24) for dx in (5, -5 - width)]
        boxes = [(across + dx, up + dy, across + dx + width, up + dy + _TEXT) for dx, dy in places]
        free = next((n for n, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)), 0)
        taken.append(boxes[free])
        axes.annotate(name, (x, y), places[free], textcoords="offset points", fontsize=_TEXT)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
