"""Figures of a gridnet's probe: its activity, the effect of the number of steps, and its confusions."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

_SHOWN = 7  # states and faces of the grid, at most
_NUMBERED = 20  # classes up to which the confusion matrix shows its counts


def draw_activity(states: list[Tensor]) -> Figure:
    """Draw the first sample's grid, and its difference from the mean of all samples, over faces and outer steps.

    ``states`` are the grids ``[samples, M, N, K]`` before and after each outer step.
    """
    rows, faces = _spread(len(states)), _spread(states[0].shape[-1])
    figure = Figure(figsize=(9, 0.6 + 4.2 * len(rows) / len(faces)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    values = [_normalised(states[step][0]) for step in rows]
    differences = [_normalised(states[step][0] - states[step].mean(0)) for step in rows]
    for axes, grids, title in ((left, values, "values"), (right, differences, "difference from the mean")):
        height, width = grids[0].shape[:2]
        image = axes.imshow(_mosaic(grids, faces).numpy(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(title)
        axes.set_xticks([(i + 0.5) * (width + 1) for i in range(len(faces))], [f"k={face}" for face in faces])
        axes.set_yticks([(i + 0.5) * (height + 1) for i in range(len(rows))], [f"step {step}" for step in rows])
        axes.tick_params(length=0)
    figure.colorbar(image, ax=[left, right], extend="both", label="value / 99th percentile of the row")
    return figure


def draw_steps(states: list[Tensor], accuracies: list[float], trained: int) -> Figure:
    """Draw the standard deviation across inputs per face and outer step, and the accuracy after each outer step."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    spread = torch.stack([state.std(0).mean((0, 1)) for state in states], 1)
    shares = (spread / spread.amax(0)).numpy()
    image = left.imshow(shares, cmap="viridis", vmin=0, aspect="auto", interpolation="nearest")
    left.set(xlabel="outer steps", ylabel="face k", title="standard deviation across inputs")
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, ax=left)
    right.plot(range(len(accuracies)), [100 * accuracy for accuracy in accuracies], ".-")
    right.axvline(trained, color="tab:red", linestyle="--", label="as trained")
    right.set(xlabel="outer steps", ylabel="test accuracy in %", title="read earlier or later", ylim=(0, 103))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend()
    return figure


def draw_confusion(confusion: Tensor, labels: list[str]) -> Figure:
    """Draw the counts ``[true, predicted]``, coloured by the share of each class that is mistaken."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    shares = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    mistakes = shares - shares.diag().diag()
    axes.imshow(mistakes.numpy(), cmap="Reds", interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(labels) <= _NUMBERED:
        axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 2 else 0, parse_math=False)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        for true, row in enumerate(confusion.tolist()):
            for predicted, count in enumerate(row):
                if count:
                    dark = mistakes[true, predicted] > 0.6 * mistakes.max()
                    axes.text(predicted, true, str(count), ha="center", va="center", fontsize="x-small",
                              color="white" if dark else "black")  # fmt: skip
    return figure


def _spread(count: int) -> list[int]:
    """At most ``_SHOWN`` evenly spaced indices below ``count``, the first and the last among them."""
    if count <= _SHOWN:
        return list(range(count))
    return [round(i * (count - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]


def _normalised(grid: Tensor) -> Tensor:
    """Divide by the 99th percentile of the absolute values."""
    return grid / grid.abs().flatten().quantile(0.99).clamp(min=1e-12)


def _mosaic(grids: list[Tensor], faces: list[int]) -> Tensor:
    """Arrange ``[M, N]`` faces of the grids ``[M, N, K]`` in one image: a grid per row, a face per column."""
    rows = [torch.cat([torch.nn.functional.pad(grid[..., face], (0, 1, 0, 1)) for face in faces], 1) for grid in grids]
    return torch.cat(rows)
