"""Figures of a normnet's probe: pruning curves, A-B-A trainings, and accuracy on several tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from zoo.families.normnet.claims import FRACTIONS, Pruning, Sequel, Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"norm": "#0072b2", "linear W/n": "#e69f00", "biased": "#009e73"}


def draw_pruning(prunings: Mapping[str, Sequence[Pruning]], shipped: list[float]) -> Figure:
    """Draw accuracy against the pruned fraction: per network the mean and range of its seeds, and the shipped model."""
    figure, [axis] = _canvas(1, 6)
    for name, seeds in prunings.items():
        columns = list(zip(*(p.curve for p in seeds), strict=True))
        lows, highs = [min(c) for c in columns], [max(c) for c in columns]
        axis.fill_between(FRACTIONS, lows, highs, color=_COLOURS[name], alpha=0.2)
        axis.plot(FRACTIONS, [mean(c) for c in columns], color=_COLOURS[name], marker=".", label=name)
    axis.plot(FRACTIONS, shipped, color="black", linestyle="--", label="the shipped weights")
    axis.set_xlabel("fraction of each layer's weights pruned")
    axis.legend(loc="lower left", frameon=False)
    return figure


def draw_sweep(networks: Mapping[str, Sequence[Setting]]) -> Figure:
    """Draw what is left of A, and the steps to reach A again, against the rate: a column per network, a line per scale.

    A setting that does not learn A and B has an open marker.
    """
    figure = Figure(figsize=(4.2 * len(networks), 6), layout="constrained")
    rows = figure.subplots(2, len(networks), squeeze=False, sharex=True, sharey="row")
    for column, (name, settings) in enumerate(networks.items()):
        for number, scale in enumerate(sorted({one.hidden_scale for one in settings})):
            chosen = sorted((one for one in settings if one.hidden_scale == scale), key=lambda one: one.rate)
            rates = [one.rate for one in chosen]
            left = [mean(s.left_among_a for s in one.sequels) for one in chosen]
            steps = [mean(_steps(s) for s in one.sequels) for one in chosen]
            style = {"color": _COLOURS[name], "linestyle": ("-", "--", ":")[number % 3]}
            for axis, values in zip(rows[:, column], (left, steps), strict=True):
                axis.plot(rates, values, label=f"scale {scale:g}", **style)
                for rate, value, one in zip(rates, values, chosen, strict=True):
                    axis.plot(rate, value, "o", color=_COLOURS[name], mfc=_COLOURS[name] if one.learns else "white")
        rows[0, column].set(title=name, xscale="log")
        rows[1, column].set(xlabel="learning rate")
        rows[0, column].legend(frameon=False, fontsize="small")
    rows[0, 0].set_ylabel("left of A, among its classes")
    rows[1, 0].set_ylabel("steps to reach A again")
    return figure


def _steps(sequel: Sequel) -> float:
    """Return the steps to reach A again; NaN, a gap in the line, if it was never reached."""
    return math.nan if sequel.steps_a_again is None else float(sequel.steps_a_again)


def draw_tasks(prunings: Mapping[str, Sequence[Pruning]], tasks: Mapping[str, Sequence[list[float]]]) -> Figure:
    """Draw accuracy on the first task alone and on each of three: the mean of the seeds, lines from least to most."""
    figure, [axis] = _canvas(1, 6)
    width = 0.8 / len(tasks)
    for number, (name, seeds) in enumerate(tasks.items()):
        alone = [p.curve[0] for p in prunings[name]]
        groups = [alone, *zip(*seeds, strict=True)]
        places = [i + (number - (len(tasks) - 1) / 2) * width for i in range(len(groups))]
        spread = [[mean(g) - min(g) for g in groups], [max(g) - mean(g) for g in groups]]
        style: dict[str, Any] = {
            "color": _COLOURS[name],
            "marker": "osD"[number % 3],
            "linestyle": "none",
            "capsize": 2,
        }
        axis.errorbar(places, [mean(g) for g in groups], yerr=spread, label=name, **style)
    lowest = min(min(group) for seeds in tasks.values() for group in seeds)
    alone_lowest = min(p.curve[0] for name in tasks for p in prunings[name])
    axis.set_ylim(_floor(min(lowest, alone_lowest)), 1.005)
    axis.set_xticks(range(4), ["first task alone", "first of three", "second", "third"])
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(tasks), frameon=False)
    return figure


def _floor(lowest: float) -> float:
    """Return the start of an axis of accuracies that leaves room below the lowest: a multiple of 0.05, at least 0."""
    return max(0.0, math.floor(20 * lowest - 0.5) / 20)


def _canvas(columns: int, width: float = 4.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * columns, 3.4), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axis in axes:
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy")
    return figure, list(axes)
