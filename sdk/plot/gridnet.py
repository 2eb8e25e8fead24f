"""Pictures of a gridnet's states: its activity over the outer steps, and how it crosses the grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdk.plot.files import save_gif
from sdk.plot.style import DIVERGING, SEQUENTIAL, draw_answer, shown_classes, softmax, spread, styled

Floats = NDArray[np.floating]
_BARS = "The bars are the answer that would be read after so many steps."
_SHOWN = 7  # states and faces of the grid, at most
_SHADES = 32  # of brightness: few enough for a small file
_RISE, _WIDTH, _STRIDE = 0.36, 0.6, 0.75  # of a face, by its height
_FRAME_MS, _LAST_MS = 360, 2400


def activity_caption(entered: int, read: int, faces: int) -> str:
    """Return the caption of :func:`draw_activity` for a grid of ``faces``: the image enters at the first ``entered``
    of them, and the classes are read at the last ``read``."""
    return (
        "The grid's values: one face per column, one outer step per row, each row scaled by its own largest values. "
        "Left: one sample. Right: its difference from the mean of all samples. The image enters at "
        f"{_first(entered, faces)}; the classes are read at {'the other end' if read == 1 else _last(read, faces)}."
    )


def front_caption(entered: int, read: int, faces: int) -> str:
    """Return the caption of :func:`animate_front`, for arguments as in :func:`activity_caption`."""
    if (entered, read) == (1, 1):
        shown = "the grid's faces from k = 0, where the image enters, to the last, where the classes are read."
        return f"One sample crosses the grid: a frame per outer step, {shown} {_BARS}"
    return (
        "One sample in the grid: a frame per outer step, the grid's faces from k = 0 to the last. The image enters at "
        f"{_first(entered, faces)}; the classes are read at {_last(read, faces)}. {_BARS}"
    )


def _first(count: int, faces: int) -> str:
    return "all faces" if count == faces > 1 else "k = 0" if count == 1 else f"k = 0 to {count - 1}"


def _last(count: int, faces: int) -> str:
    return "all faces" if count == faces > 1 else "the last face" if count == 1 else f"the last {count} faces"


def draw_activity(grids: Floats) -> Figure:
    """Draw the first sample's grid, and its difference from the mean of all samples, over faces and outer steps.

    ``grids`` are ``[S + 1, B, M, N, K]``, before and after each outer step. One sample alone has no second panel.
    """
    rows, faces, alone = spread(len(grids), _SHOWN), spread(grids.shape[-1], _SHOWN), grids.shape[1] == 1
    with styled():
        figure = Figure(figsize=(4.8 if alone else 9, 0.6 + 4.2 * len(rows) / len(faces)), layout="constrained")
        values = [_normalised(grids[step, 0]) for step in rows]
        panels = {"values": values}
        if not alone:
            panels["difference from the mean"] = [_normalised(grids[step, 0] - grids[step].mean(0)) for step in rows]
        drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        height, width = grids.shape[2:4]
        for axes, (title, states) in zip(drawn, panels.items(), strict=True):
            image = axes.imshow(_mosaic(states, faces), cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
            axes.set_title(title)
            axes.set_xticks([(i + 0.5) * (width + 1) for i in range(len(faces))], [f"k={face}" for face in faces])
            axes.set_yticks([(i + 0.5) * (height + 1) for i in range(len(rows))], [f"step {step}" for step in rows])
            axes.tick_params(length=0)
        figure.colorbar(image, ax=list(drawn), extend="both", label="value / 99th percentile of the row", shrink=0.8,
                        aspect=30)  # fmt: skip
    return figure


def animate_front(grids: Floats, logits: Floats, path: Path, labels: Sequence[str] = ()) -> None:
    """Animate the first sample's activity on the faces of the grid, outer step by outer step, and the answers.

    ``grids`` are ``[S + 1, B, M, N, K]`` and ``logits [S + 1, B, classes]``. Activity is the distance of a cell's value
    from its mean over the samples; of one sample alone, it is the value.
    """
    alone = grids.shape[1] == 1
    activity = grids[:, 0] if alone else np.abs(grids[:, 0] - grids.mean(1))
    answers = softmax(logits[:, 0])
    durations = [_FRAME_MS] * (len(grids) - 1) + [_LAST_MS]
    save_gif(_fronts(activity, answers, labels, alone), durations, path)


def draw_faces(axes: Axes, activity: Floats, faces: Sequence[int], norm: Normalize, colours: str) -> QuadMesh:
    """Draw some faces of a grid ``[M, N, K]``, one behind the other, in oblique projection."""
    rows, columns, depth = activity.shape
    colormap = matplotlib.colormaps[colours].resampled(_SHADES)
    width = _WIDTH * min(2.0, max(0.5, columns / rows))
    stride = width + _STRIDE - _WIDTH
    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(1, 0, rows + 1))
    for place, face in enumerate(faces):
        x, y = place * stride + width * u, v + _RISE * u
        drawn = axes.pcolormesh(x, y, activity[..., face], cmap=colormap, norm=norm, antialiased=False)
        label = {0: "k = 0: input", depth - 1: f"k = {face}: answer"}.get(face, f"k = {face}")
        axes.text(place * stride + width / 2, -0.09, label, ha="center", va="top", fontsize=7)
    axes.set(xlim=(-0.1, (len(faces) - 1) * stride + width + 0.1), ylim=(-0.25, 1 + _RISE))
    axes.set_aspect("equal")
    axes.axis("off")
    return drawn


def _fronts(activity: Floats, answers: Floats, labels: Sequence[str], signed: bool) -> Iterator[Figure]:
    faces, classes = spread(activity.shape[-1], _SHOWN + 1), shown_classes(answers)
    largest = max(float(np.quantile(np.abs(activity), 0.995)), 1e-12)
    norm, colours = (Normalize(-largest, largest), DIVERGING) if signed else (Normalize(0, largest), SEQUENTIAL)
    what = "value of a cell" if signed else "distance of a cell's value from its mean over the samples"
    for step in range(len(activity)):
        with styled():
            figure = Figure(figsize=(7.5, 2.6))
            axes = figure.add_axes((0.01, 0.2, 0.77, 0.66))
            drawn = draw_faces(axes, activity[step], faces, norm, colours)
            bar = figure.colorbar(drawn, cax=figure.add_axes((0.56, 0.1, 0.2, 0.04)), orientation="horizontal")
            bar.ax.tick_params(length=0, pad=2, labelsize=7)
            figure.text(0.55, 0.12, what, ha="right", va="center", fontsize=7)
            draw_answer(figure.add_axes((0.86, 0.17, 0.105, 0.66)), answers[step], labels, classes,
                        final=step == len(activity) - 1)  # fmt: skip
            title = f"outer step {step} of {len(activity) - 1}"
            figure.text(0.395, 0.93, title, ha="center", va="center", fontsize=10, weight="bold")
        yield figure


def _normalised(grid: Floats) -> Floats:
    """Divide by the 99th percentile of the absolute values."""
    return np.asarray(grid / max(float(np.quantile(np.abs(grid), 0.99)), 1e-12))


def _mosaic(grids: Sequence[Floats], faces: Sequence[int]) -> Floats:
    """Arrange ``[M, N]`` faces of the grids ``[M, N, K]`` in one image: a grid per row, a face per column."""
    rows = [np.concatenate([np.pad(grid[..., face], ((0, 1), (0, 1))) for face in faces], 1) for grid in grids]
    return np.concatenate(rows)
