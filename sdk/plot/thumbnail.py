"""The picture at the top of a model card: an input, the states that it leads to, and the answer."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdk.plot.gridnet import draw_faces
from sdk.plot.models import growth_of
from sdk.plot.normnet import square
from sdk.plot.style import DIVERGING, PALE, QUIET, SEQUENTIAL, draw_answer, shown_classes, spread, styled

Floats = NDArray[np.floating]
_FACES = 4  # of a grid, at most
_FEATURES = 8  # of a table's row, at most
_TITLE = 40  # characters, at most


def draw_thumbnail(model: Any, inputs: Floats, subtitle: str) -> Figure:
    """Draw the first of raw ``inputs [B, *shape]``, the states of the model for it, and its answer.

    Six inches wide, in the proportions of a preview, 1.91 to 1. A model without known states shows its answer alone.
    """
    name = model.name if len(model.name) <= _TITLE else f"{model.name[: _TITLE - 3]}..."
    answer = model.predict_proba(inputs[:1], invert=False, batch=True)[0]
    with styled():
        figure = Figure(figsize=(6, 3.14))
        figure.text(0.03, 0.93, name, fontsize=14, weight="bold", va="center", parse_math=False)
        figure.text(0.03, 0.845, subtitle, fontsize=8, va="center", color=QUIET, parse_math=False)
        _draw_input(figure.add_axes((0.03, 0.2, 0.25, 0.5)), model, inputs[0])
        title = _draw_states(figure, model, inputs)
        if title:
            figure.text(0.515, 0.1, title, fontsize=7, ha="center", va="center")
        figure.text(0.155, 0.1, "input", fontsize=7, ha="center", va="center")
        bars = figure.add_axes((0.87, 0.15, 0.09, 0.57) if title else (0.5, 0.15, 0.42, 0.57))
        draw_answer(bars, answer, model.labels, shown_classes(answer[None]), final=True)
    return figure


def _draw_input(axes: Axes, model: Any, raw: Floats) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    if model.input_spec.kind == "image":
        values = raw / 255 if raw.dtype == np.uint8 else raw
        shown = np.moveaxis(values, 0, -1) if len(values) == 3 else values[0]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        return
    columns = model.input_spec.columns
    values = raw.ravel()
    named = columns is not None and len(columns.features) == len(values)
    names = list(columns.features) if named else [f"feature {number}" for number in range(len(values))]
    lines = [f"{name[:22]} = {value:.4g}" for name, value in zip(names, values[:_FEATURES], strict=False)]
    more = ["..."] if len(values) > _FEATURES else []
    axes.text(0.05, 0.5, "\n".join([*lines, *more]), va="center", fontsize=6.5, parse_math=False,
              transform=axes.transAxes)  # fmt: skip


def _draw_states(figure: Figure, model: Any, inputs: Floats) -> str:
    """Draw the states between input and answer; return their name, empty for a model without known states."""
    draw = _STATES.get(model.config.family)
    if draw is None or model.backend != "torch":
        return ""
    title: str = draw(figure, model, inputs)
    return title


def _gridnet(figure: Figure, model: Any, inputs: Floats) -> str:
    grids = model.trace(inputs, invert=False, batch=True).grids[-1]
    activity = np.abs(grids[0] - grids.mean(0)) if len(grids) > 1 else np.abs(grids[0])
    largest = max(float(np.quantile(activity, 0.99)), 1e-12)
    axes = figure.add_axes((0.3, 0.16, 0.43, 0.58))
    draw_faces(axes, activity, spread(activity.shape[-1], _FACES), Normalize(0, largest), SEQUENTIAL)
    return "faces of the grid after the last step"


def _cellnet(figure: Figure, model: Any, inputs: Floats) -> str:
    _image(figure, model.trace(inputs[:1], invert=False, batch=True).cores[-1, 0])
    return "cores of the cells, one a row, after the last step"


def _nca(figure: Figure, model: Any, inputs: Floats) -> str:
    weights = [weight.cpu().numpy() for weight in model.module.task_weights]
    largest = max(float(max(np.abs(weight).max() for weight in weights)), 1e-12)
    width = 0.41 / len(weights)
    for number, weight in enumerate(weights):
        axes = figure.add_axes((0.33 + number * width, 0.2, 0.85 * width, 0.5))
        axes.imshow(weight, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
    return "weights that the rule grew, layer by layer"


def _snapshots(figure: Figure, model: Any, inputs: Floats) -> str:
    counts = growth_of(model).maps[-1]
    colours = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=PALE)
    axes = figure.add_axes((0.36, 0.2, 0.34, 0.5))
    norm = LogNorm(1, max(2.0, float(counts.max())))
    axes.imshow(np.ma.masked_equal(counts, 0), cmap=colours, norm=norm, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    return "inputs by the number of edges that grew from them"


def _normnet(figure: Figure, model: Any, inputs: Floats) -> str:
    _image(figure, square(model.trace(inputs[:1], invert=False, batch=True).layers[0][0]), "equal")
    return "outputs of the first layer"


def _image(figure: Figure, values: Floats, aspect: Any = "auto") -> None:
    axes = figure.add_axes((0.33, 0.2, 0.4, 0.5))
    largest = max(float(np.nanquantile(np.abs(values), 0.995)), 1e-12)
    axes.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect=aspect, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


_STATES = {"gridnet": _gridnet, "cellnet": _cellnet, "nca": _nca, "snapshots": _snapshots, "normnet": _normnet}
