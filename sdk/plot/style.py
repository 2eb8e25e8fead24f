"""The one style of all figures: fonts, colours that colour-blind people tell apart, and panels that figures share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

INK, QUIET, LINE, PALE = "#24292f", "#6e7781", "#d0d7de", "#eef1f4"
BLUE, ORANGE, GREEN, RED, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
"""Of the palette of Okabe and Ito."""
SERIES = (BLUE, ORANGE, GREEN, RED, "#cc79a7", SKY, INK)
MARKERS = "osv^Dx+"
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
SHOWN = 10
"""Classes, at most, in a panel of answers."""
_LABEL = 12  # characters of a label, at most


def styled() -> AbstractContextManager[None]:
    """Return a context in which figures get this style; a figure keeps what it was drawn with."""
    context: AbstractContextManager[None] = matplotlib.rc_context(STYLE)  # type: ignore[arg-type]
    return context


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` evenly spaced indices below ``count``, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return probabilities along the last axis."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def name_of(labels: Sequence[str], number: int) -> str:
    """Return the label of a class, shortened, or its number."""
    name = labels[number] if labels else str(number)
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 3]}..."


def shown_classes(answers: NDArray[np.floating]) -> list[int]:
    """Return the classes that panels of ``answers [steps, classes]`` show: all, or those likeliest at any step."""
    best = np.argsort(-answers.max(0), kind="stable")[:SHOWN]
    return sorted(int(number) for number in best)


def draw_answer(
    axes: Axes, answer: NDArray[np.floating], labels: Sequence[str], classes: Sequence[int], final: bool
) -> None:
    """Draw probabilities ``[classes]`` as bars, the likeliest in another colour."""
    best = int(answer.argmax())
    colours = [ORANGE if number == best else BLUE for number in classes]
    axes.barh(range(len(classes)), answer[list(classes)], color=colours, height=0.72)
    axes.set(xlim=(0, 1), ylim=(len(classes) - 0.4, -0.6))
    axes.set_yticks(range(len(classes)), [name_of(labels, number) for number in classes], parse_math=False)
    axes.set_xticks([0, 1], ["0", "100%"])
    axes.tick_params(length=0, labelsize=7)
    axes.spines["bottom"].set_visible(False)
    title = f"{'answer' if final else 'read now'}: {name_of(labels, best)}"
    axes.set_title(title, pad=5, weight="bold" if final else "normal", parse_math=False)
