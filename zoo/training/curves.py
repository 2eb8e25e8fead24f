"""Figures at the end of a training, for trackers: its curves, and what its family draws of every new model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from sdk.plot.style import BLUE, ORANGE, styled
from zoo.families.registry import get_family, load_hook
from zoo.utils.figures import save_png


def draw_figures(history: list[dict[str, Any]], family: str, module: nn.Module, folder: Path) -> dict[str, Path]:
    """Draw into an empty folder; return the PNG files by title. The module is on the CPU, in eval mode."""
    found = {"curves": folder / "curves.png"}
    save_png(draw_learning(history), found["curves"])
    portrait = get_family(family).portrait
    if portrait is not None:
        place = folder / "portrait"
        place.mkdir()
        load_hook(portrait)(module, place)
        found |= {path.stem: path for path in sorted(place.glob("*.png"))}
    return found


def draw_learning(history: list[dict[str, Any]]) -> Figure:
    """Draw the losses, and beside them the accuracies, by epoch; a round that did not record a number leaves a gap."""
    with styled():
        figure = Figure(figsize=(8, 3), layout="constrained")
        losses, accuracies = figure.subplots(1, 2)
        _draw_curves(losses, history, "loss", "loss")
        _draw_curves(accuracies, history, "accuracy", "accuracy, %", scale=100)
    return figure


def _draw_curves(axes: Axes, history: list[dict[str, Any]], number: str, unit: str, scale: float = 1) -> None:
    """Draw a number of training and validation by epoch, ``scale`` times as large."""
    epochs = [record["epoch"] for record in history]
    for part, colour, line in (("train", ORANGE, "--"), ("validation", BLUE, "-")):
        values = [record.get(f"{part}_{number}") for record in history]
        if any(value is not None for value in values):
            shown = [math.nan if value is None else scale * value for value in values]
            axes.plot(epochs, shown, line, color=colour, label=part)
    axes.set(xlabel="epoch", ylabel=unit)
    if axes.lines:
        axes.legend()
