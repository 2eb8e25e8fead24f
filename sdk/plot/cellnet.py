"""Pictures of a CellNet's states: the cores of all cells over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from sdk.plot.files import save_gif
from sdk.plot.style import BLUE, DIVERGING, ORANGE, draw_answer, shown_classes, softmax, spread, styled

Floats = NDArray[np.floating]
CORES_CAPTION = (
    "The cores of all cells over the steps, of one sample: a row per cell, a column per value. Cells from the top read "
    "the input; the answer is read from the last."
)
ANIMATION_CAPTION = (
    "The cores step by step, of one sample. Left: the values. Middle: how far each core moved in the step. Right: the "
    "answer read from the last cells after so many steps."
)
_SHOWN = 6  # steps of a still, at most
_FRAME_MS, _LAST_MS = 700, 2400


def draw_cores(cores: Floats) -> Figure:
    """Draw the first sample's cores ``[S, B, N, C]`` after some of the steps, one panel each."""
    steps = spread(len(cores), _SHOWN)
    largest = _largest(cores[:, 0])
    with styled():
        figure = Figure(figsize=(1.0 + 1.35 * len(steps), 2.2), layout="constrained")
        panels = figure.subplots(1, len(steps), sharey=True, squeeze=False)[0]
        for axes, step in zip(panels, steps, strict=True):
            drawn = _draw_values(axes, cores[step, 0], largest)
            axes.set_title(f"step {step + 1}")
        panels[0].set_ylabel("cell")
        figure.colorbar(drawn, ax=list(panels), label="value", extend="both")
    return figure


def animate_cores(
    cores: Floats, logits: Floats, path: Path, labels: Sequence[str] = (), given: int | None = None
) -> None:
    """Animate the first sample's cores ``[S, B, N, C]`` and the answers of ``logits [S, B, classes]``, step by step.

    The input was given in the first ``given`` steps, after which the model answers; None: in all of them.
    """
    durations = [_FRAME_MS] * (len(cores) - 1) + [_LAST_MS]
    save_gif(_frames(cores[:, 0], softmax(logits[:, 0]), labels, given or len(cores)), durations, path)


def _frames(cores: Floats, answers: Floats, labels: Sequence[str], given: int) -> Iterator[Figure]:
    largest, classes = _largest(cores), shown_classes(answers)
    before = np.concatenate([np.ones_like(cores[:1]), cores[:-1]])  # cores start as ones
    moves = np.linalg.norm(cores - before, axis=-1)
    cells = range(cores.shape[1])
    for step, values in enumerate(cores):
        with styled():
            figure = Figure(figsize=(7.5, 2.7), layout="constrained")
            source = "" if step < given else ", without input"
            figure.suptitle(f"step {step + 1} of {len(cores)}{source}", fontsize=10, weight="bold")
            left, middle, right = figure.subplots(1, 3, width_ratios=(3, 1.4, 1.2))
            figure.colorbar(_draw_values(left, values, largest), ax=left, label="value of a core", extend="both")
            left.set(ylabel="cell", xlabel="place in the core")
            middle.barh(cells, moves[step], color=[ORANGE if cell == cells[-1] else BLUE for cell in cells])
            middle.set(
                xlim=(0, 1.05 * moves.max() + 1e-12), ylim=left.get_ylim(), yticks=[], xlabel="length of the move"
            )
            middle.set_title("orange: the last cell, which answers", fontsize=7)
            draw_answer(right, answers[step], labels, classes, final=step == given - 1)
        yield figure


def _draw_values(axes: Axes, values: Floats, largest: float) -> AxesImage:
    drawn = axes.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    axes.set_yticks(spread(len(values), 8))
    axes.set_xticks(spread(values.shape[-1], 3))
    return drawn


def _largest(values: Floats) -> float:
    return max(float(np.quantile(np.abs(values), 0.995)), 1e-12)
