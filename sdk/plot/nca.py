"""Pictures of a Meta-NCA: the weights of a task network over its evolution, and over the rule's training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from sdk.plot.files import save_gif
from sdk.plot.style import BLUE, DIVERGING, INK, ORANGE, spread, styled

Floats = NDArray[np.floating]
Weights = Sequence[Floats]
"""Per layer ``[inputs, outputs]``."""
EVOLUTION_CAPTION = (
    "Weights of the task network over the epochs of its evolution, from its start. One panel per layer: rows are the "
    "units of a layer, columns those of the next; blue is below zero, red above."
)
META_CAPTION = (
    "Left: the task network that the rule grows after so many meta-epochs of the rule's training; it always starts "
    "from the same weights. Right: one evolution by the trained rule, epoch by epoch. Below: accuracy over both."
)
_STATES = 6  # of a still, at most
_FRAME_MS, _LAST_MS = 250, 2000


def draw_evolution(history: Sequence[Weights]) -> Figure:
    """Draw the weights before the first epoch and after some of the others: a row per layer, a column per epoch."""
    epochs, layers = spread(len(history), _STATES), len(history[0])
    largest = _largest(history)
    with styled():
        figure = Figure(figsize=(1.0 + 1.3 * len(epochs), 0.5 + 1.5 * layers), layout="constrained")
        panels = figure.subplots(layers, len(epochs), squeeze=False)
        for column, epoch in enumerate(epochs):
            for row, weight in enumerate(history[epoch]):
                drawn = _draw_layer(panels[row, column], weight, largest)
            panels[0, column].set_title(f"epoch {epoch}")
        for row in range(layers):
            panels[row, 0].set_ylabel(f"layer {row}")
        figure.colorbar(drawn, ax=panels, label="weight")
    return figure


def animate_evolution(history: Sequence[Weights], path: Path) -> None:
    """Animate the weights before the first epoch and after each."""
    durations = [_FRAME_MS] * (len(history) - 1) + [_LAST_MS]
    save_gif(_frames(history), durations, path)


def animate_meta_epochs(
    grown: Sequence[Weights],
    meta_epochs: Sequence[int],
    history: Sequence[Weights],
    accuracies: tuple[Sequence[float], Sequence[float]],
    path: Path,
) -> None:
    """Animate the networks ``grown`` after each of ``meta_epochs`` beside one evolution, ``history``.

    ``accuracies`` in [0, 1] are those of the former and of the latter. The shorter of both waits at its end.
    """
    count = max(len(grown), len(history))
    durations = [_FRAME_MS] * (count - 1) + [_LAST_MS]
    save_gif(_meta_frames(grown, meta_epochs, history, accuracies, count), durations, path)


def _frames(history: Sequence[Weights]) -> Iterator[Figure]:
    largest, layers = _largest(history), len(history[0])
    for epoch, weights in enumerate(history):
        with styled():
            figure = Figure(figsize=(1.2 + 1.6 * layers, 2.4), layout="constrained")
            panels = list(figure.subplots(1, layers, squeeze=False)[0])
            _draw_network(figure, panels, weights, largest)
            figure.suptitle(f"epoch {epoch} of {len(history) - 1}", fontsize=9, weight="bold")
        yield figure


def _meta_frames(
    grown: Sequence[Weights],
    meta_epochs: Sequence[int],
    history: Sequence[Weights],
    accuracies: tuple[Sequence[float], Sequence[float]],
    count: int,
) -> Iterator[Figure]:
    layers = len(history[0])
    titles = ("after {} meta-epochs", "epoch {} of the trained rule")
    sides = ((grown, list(meta_epochs), accuracies[0]), (history, list(range(len(history))), accuracies[1]))
    for number in range(count):
        with styled():
            figure = Figure(figsize=(1.6 + 2.8 * max(1.0, 0.8 * layers), 3.6), layout="constrained")
            halves: Any = figure.subfigures(1, 2)
            for half, title, (states, times, accuracy), unit in zip(
                halves, titles, sides, ("meta-epoch", "epoch"), strict=True
            ):
                now = min(number, len(states) - 1)
                top, bottom = half.subfigures(2, 1, height_ratios=(2, 1))
                panels = list(top.subplots(1, layers, squeeze=False)[0])
                _draw_network(top, panels, states[now], _largest(states))
                top.suptitle(title.format(f"{times[now]:,}"), fontsize=9, weight="bold")
                _draw_accuracy(bottom.subplots(), times, accuracy, now, unit)
        yield figure


def _draw_accuracy(axes: Axes, times: Sequence[int], accuracy: Sequence[float], now: int, unit: str) -> None:
    axes.plot(times, [100 * value for value in accuracy], color=BLUE, linewidth=1.2)
    axes.plot(times[now], 100 * accuracy[now], "o", color=ORANGE, markeredgecolor=INK, markeredgewidth=0.5)
    axes.set(ylim=(0, 105), xlabel=unit, yticks=(0, 50, 100))
    axes.set_ylabel("test accuracy, %", fontsize=6.5)
    axes.set_xlim(-0.03 * times[-1], 1.03 * times[-1])


def _draw_network(figure: Figure | SubFigure, panels: list[Axes], weights: Weights, largest: float) -> None:
    for number, (axes, weight) in enumerate(zip(panels, weights, strict=True)):
        image = _draw_layer(axes, weight, largest)
        axes.set_title(f"layer {number}: {weight.shape[0]} to {weight.shape[1]}", fontsize=7)
    bar = figure.colorbar(image, ax=panels, shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("weight", fontsize=7)


def _draw_layer(axes: Axes, weight: Floats, largest: float) -> AxesImage:
    image = axes.imshow(weight, cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return image


def _largest(history: Sequence[Weights]) -> float:
    return max(max(float(np.abs(weight).max()) for weights in history for weight in weights), 1e-12)
