"""Figures at the end of a training, for trackers: its curves, and what its family draws of every new model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from zoo.families.registry import get_family, load_hook
from zoo.utils.figures import save_png


def draw_figures(history: list[dict[str, Any]], family: str, module: nn.Module, folder: Path) -> dict[str, Path]:
    """Draw into an empty folder; return the PNG files by title. The module is on the CPU, in eval mode."""
    found = {"curves": folder / "curves.png"}
    save_png(_curves(history), found["curves"])
    portrait = get_family(family).portrait
    if portrait is not None:
        place = folder / "portrait"
        place.mkdir()
        load_hook(portrait)(module, place)
        found |= {path.stem: path for path in sorted(place.glob("*.png"))}
    return found


def _curves(history: list[dict[str, Any]]) -> Figure:
    """Draw the losses, and beside them the accuracies, by epoch."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    epochs = [record["epoch"] for record in history]
    for axes, number in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part in ("train", "validation"):
            if all(f"{part}_{number}" in record for record in history):
                axes.plot(epochs, [record[f"{part}_{number}"] for record in history], label=part)
        axes.set(xlabel="epoch", ylabel=number)
        axes.legend()
    return figure
