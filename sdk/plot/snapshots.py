"""Pictures of a snapshots network: the answers of its snapshots, and the growth of its edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from sdk.plot.files import save_gif
from sdk.plot.style import BLUE, GREEN, INK, ORANGE, PALE, SEQUENTIAL, name_of, shown_classes, softmax, spread, styled

Floats = NDArray[np.floating]
ANSWERS_CAPTION = (
    "The answers to one sample, oldest snapshot first: a row per class, a column per snapshot. Left: each snapshot "
    "alone. Right: the weighted ensemble of the snapshots so far."
)
GROWTH_CAPTION = (
    "The network grows: edges that start at each input, edges in all, and validation accuracy, event by event. The dot "
    "marks the moment of the map above."
)
_FRAME_MS, _LAST_MS = 800, 2400
_FRAMES = 60  # at most


class Growth(NamedTuple):
    """The growth of a network, by moments: the start, and after each growth event."""

    epochs: Sequence[int]
    """Epochs trained at each moment."""
    edges: Sequence[int]
    """Edges at each moment."""
    maps: Sequence[NDArray[Any]]
    """``[H, W]`` at each moment: edges that start at each input; for a table, one row."""
    phases: Sequence[str]
    """The phase of each moment."""
    trained: Sequence[int]
    """Epochs of the rounds of training."""
    accuracies: Sequence[float]
    """Validation accuracy after each round, in [0, 1]."""


def draw_answers(members: Floats, logits: Floats, labels: Sequence[str] = ()) -> Figure:
    """Draw the probabilities that the first sample gets from each snapshot alone, and from the ensemble so far.

    ``members`` and ``logits`` are ``[S, B, classes]``.
    """
    alone, together = softmax(members[:, 0]), softmax(logits[:, 0])
    classes = shown_classes(np.concatenate([alone, together]))
    with styled():
        figure = Figure(figsize=(8, 0.9 + 0.2 * len(classes)), layout="constrained")
        panels = list(figure.subplots(1, 2, sharey=True))
        for axes, answers, title in zip(panels, (alone, together), ("each alone", "ensemble so far"), strict=True):
            drawn = axes.imshow(answers[:, classes].T, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto",
                                interpolation="nearest")  # fmt: skip
            axes.set(title=title, xlabel="snapshot", ylabel="class")
            axes.set_yticks(range(len(classes)), [name_of(labels, number) for number in classes], parse_math=False)
            best = [classes.index(int(row.argmax())) if int(row.argmax()) in classes else -1 for row in answers]
            axes.plot(range(len(answers)), best, "o", color=ORANGE, markeredgecolor=INK, markersize=4, label="answer")
            axes.set_xlim(-0.5, len(answers) - 0.5)
        panels[1].set_ylabel("")
        panels[1].legend(loc="lower right", fontsize=7)
        figure.colorbar(drawn, ax=panels, label="probability")
    return figure


def animate_growth(growth: Growth, path: Path) -> None:
    """Animate the growth of a network, a frame per event; of more than sixty, evenly spaced ones."""
    count = len(growth.edges)
    shown = spread(count, _FRAMES)
    durations = [_FRAME_MS] * (len(shown) - 1) + [_LAST_MS]
    save_gif(_frames(growth, shown), durations, path)


def _frames(growth: Growth, shown: Sequence[int]) -> Iterator[Figure]:
    most = max(float(counts.max()) for counts in growth.maps)
    for number in shown:
        with styled():
            figure = Figure(figsize=(7, 3.2), layout="constrained")
            left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
            _draw_map(figure, left, growth.maps[number], max(most, 2.0))
            left.set_title(f"edges from each input: {int(growth.maps[number].sum()):,}")
            _draw_curves(right, growth, number)
            figure.suptitle(
                f"{growth.phases[number]}, epoch {growth.epochs[number]}: {growth.edges[number]:,} edges",
                fontsize=10,
                weight="bold",
            )
        yield figure


def _draw_map(figure: Figure, axes: Axes, counts: NDArray[Any], most: float) -> None:
    colours = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=PALE)
    masked = np.ma.masked_equal(counts, 0)
    drawn = axes.imshow(masked, cmap=colours, norm=LogNorm(1, most), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    bar = figure.colorbar(drawn, ax=axes, label="edges per input", shrink=0.8, format=plain)
    bar.ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _draw_curves(axes: Axes, growth: Growth, now: int) -> None:
    last = max([*growth.epochs, *growth.trained])
    axes.step(
        [*growth.epochs, last], [*growth.edges, growth.edges[-1]], where="post", color=GREEN, label="edges (left)"
    )
    axes.plot(growth.epochs[now], growth.edges[now], "o", color=ORANGE, markeredgecolor=INK, markersize=6, zorder=3)
    axes.set(yscale="log", xlabel="epoch", ylabel="edges", xlim=(-0.02 * last, 1.02 * last))
    handles, labels = axes.get_legend_handles_labels()
    if growth.accuracies:
        right = axes.twinx()
        accuracy = [100 * value for value in growth.accuracies]
        right.plot(growth.trained, accuracy, "--", color=BLUE, label="validation accuracy (right)")
        right.set(ylim=(0, 101), ylabel="validation accuracy, %")
        right.spines["right"].set_visible(True)
        more = right.get_legend_handles_labels()
        handles, labels = [*handles, *more[0]], [*labels, *more[1]]
    axes.legend(handles, labels, loc="lower right", fontsize=7)
