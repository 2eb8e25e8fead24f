"""Figures of a gridnet's probe: the effect of the number of steps, and its confusions."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

_NUMBERED = 20  # classes up to which the confusion matrix shows its counts


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
        for true, predicted in confusion.nonzero().tolist():
            dark = mistakes[true, predicted] > 0.6 * mistakes.max()
            axes.text(predicted, true, str(int(confusion[true, predicted])), ha="center", va="center",
                      fontsize="x-small", color="white" if dark else "black")  # fmt: skip
    return figure
