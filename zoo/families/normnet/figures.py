"""Figures of a normnet's probe: pruning curves, A-B-A trainings, and accuracy on several tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from zoo.families.normnet.claims import FRACTIONS, Budget, Pruning, Sequel

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


def draw_sequel(sequels: Mapping[str, Sequence[Sequel]], budget: Budget) -> Figure:
    """Draw validation accuracy on A and B over the three phases, the mean of the seeds, one network per column."""
    figure, axes = _canvas(len(sequels))
    for axis, (name, seeds) in zip(axes, sequels.items(), strict=True):
        for task, style in (("a", "-"), ("b", "--")):
            curve = [mean(c) for c in zip(*(s.curves[task] for s in seeds), strict=True)]
            steps = [budget.check_every * (i + 1) for i in range(len(curve))]
            axis.plot(steps, curve, style, color=_COLOURS[name], label=task.upper())
        for border in (1, 2):
            axis.axvline(border * budget.task_steps, color="grey", linewidth=0.8)
        axis.set_title(name)
        axis.set_xlabel("steps: A | B | A")
    axes[0].legend(loc="lower left", frameon=False)
    return figure


def draw_tasks(prunings: Mapping[str, Sequence[Pruning]], tasks: Mapping[str, Sequence[list[float]]]) -> Figure:
    """Draw accuracy on the first task alone and on each of three: the mean of the seeds, bars from least to most."""
    figure, [axis] = _canvas(1, 6)
    width = 0.8 / len(tasks)
    for number, (name, seeds) in enumerate(tasks.items()):
        alone = [p.curve[0] for p in prunings[name]]
        groups = [alone, *zip(*seeds, strict=True)]
        places = [i + (number - (len(tasks) - 1) / 2) * width for i in range(len(groups))]
        spread = [[mean(g) - min(g) for g in groups], [max(g) - mean(g) for g in groups]]
        axis.bar(places, [mean(g) for g in groups], width, yerr=spread, color=_COLOURS[name], label=name, capsize=2)
    axis.set_xticks(range(4), ["first task alone", "first of three", "second", "third"])
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(tasks), frameon=False)
    return figure


def _canvas(columns: int, width: float = 4.2) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * columns, 3.4), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axis in axes:
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy")
    return figure, list(axes)
