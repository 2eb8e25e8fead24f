"""Figures of a Meta-NCA: the weights over an evolution, as a GIF, and curves of measured accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdk.plot.nca import EVOLUTION_CAPTION, animate_evolution
from sdk.plot.style import MARKERS, QUIET, SERIES, styled
from zoo.families.nca.model import GrownNetwork, MetaNca
from zoo.families.probing import Findings

ANIMATION = "evolution.gif"


def portrait(module: MetaNca, figures: Path) -> Findings:
    """Draw the evolution of the exported network; a rule that needs data to evolve it draws nothing."""
    if module.config.rule.senses != "none":
        return Findings({}, "", {})
    animate_evolution(as_arrays(module.grow_one(None, None, module.architecture())), figures / ANIMATION)
    text = "The exported network comes from this evolution; `zoo probe` measures and draws more."
    return Findings({}, text, {ANIMATION: EVOLUTION_CAPTION})


def as_arrays(grown: GrownNetwork) -> list[list[NDArray[Any]]]:
    """Return the weights before the first epoch and after each, per layer ``[inputs, outputs]``."""
    return [[weight.numpy() for weight in weights] for weights in grown.history]


def draw_curves(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, marked: float | None = None
) -> Figure:
    """Plot accuracies against ``x``, one line each; a dotted line marks the value ``marked`` of ``x``."""
    with styled():
        figure = Figure(figsize=(5.5, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, (label, values) in enumerate(curves.items()):
            # Curves often coincide: later ones are thinner and dashed, so that those below show through.
            style, marker, colour = ("-", "--", "-.", ":")[number % 4], MARKERS[number % 5], SERIES[number % 7]
            width = max(1, 3 - number)
            axes.plot(x, values, style, marker=marker, color=colour, markersize=4, linewidth=width, label=label)
        if marked is not None:
            axes.axvline(marked, color=QUIET, linewidth=0.8, linestyle=":")
        axes.set_xlabel(xlabel)
        axes.set_ylabel("accuracy")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure
