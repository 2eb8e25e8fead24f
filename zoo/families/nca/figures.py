"""Figures of a Meta-NCA: the weights over an evolution, as a GIF, and curves of measured accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from zoo.families.nca.model import GrownNetwork, MetaNca
from zoo.families.probing import Findings

ANIMATION = "evolution.gif"
ANIMATION_CAPTION = (
    "Weights of the task network over the epochs of its evolution, from its start. One panel per layer: rows are the "
    "units of a layer, columns those of the next; blue is below zero, red above."
)
_FRAME_MS, _LAST_MS = 200, 1500
_COLOURS = "RdBu_r"


def portrait(module: MetaNca, figures: Path) -> Findings:
    """Draw the evolution of the exported network; a rule that needs data to evolve it draws nothing."""
    if module.config.rule.senses != "none":
        return Findings({}, "", {})
    animate(module.grow_one(None, None, module.architecture()), figures / ANIMATION)
    text = "The exported network comes from this evolution; `zoo probe` measures and draws more."
    return Findings({}, text, {ANIMATION: ANIMATION_CAPTION})


def animate(grown: GrownNetwork, path: Path) -> None:
    """Write an endless animated GIF of the weights before the first epoch and after each."""
    largest = max(float(weight.abs().max()) for weights in grown.history for weight in weights)
    frames = [_frame(weights, epoch, max(largest, 1e-12)) for epoch, weights in enumerate(grown.history)]
    palette = _palette()
    first, *rest = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [_FRAME_MS] * len(rest) + [_LAST_MS]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)


def _palette() -> Image.Image:
    """Return one palette for all frames: the colour map from end to end, and greys for text.

    Taken from a frame, it would lack the colours of weights that the frame does not have.
    """
    colours = colormaps[_COLOURS](np.linspace(0, 1, 192))[:, :3]
    greys = np.linspace(0, 1, 64)[:, None].repeat(3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette((np.concatenate([colours, greys]) * 255).round().astype(np.uint8).tobytes())
    return palette


def draw_curves(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, marked: float | None = None
) -> Figure:
    """Plot accuracies against ``x``, one line each; a dotted line marks the value ``marked`` of ``x``."""
    figure = Figure(figsize=(5.5, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, (label, values) in enumerate(curves.items()):
        # Curves often coincide: later ones are thinner and dashed, so that those below show through.
        style = ("-", "--", "-.", ":")[number % 4]
        axes.plot(x, values, style, marker="osv^D"[number % 5], markersize=4, linewidth=max(1, 3 - number), label=label)
    if marked is not None:
        axes.axvline(marked, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel(xlabel)
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _frame(weights: Sequence[Tensor], epoch: int, largest: float) -> Image.Image:
    figure = Figure(figsize=(1.2 + 1.6 * len(weights), 2.4), layout="constrained")
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for number, (axes, weight) in enumerate(zip(panels, weights, strict=True)):
        image = axes.imshow(weight.numpy(), cmap=_COLOURS, vmin=-largest, vmax=largest, interpolation="nearest")
        axes.set_title(f"layer {number}: {weight.shape[0]} to {weight.shape[1]}", fontsize=7)
        axes.set_xticks([])
        axes.set_yticks([])
    bar = figure.colorbar(image, ax=list(panels), shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("weight", fontsize=7)
    figure.suptitle(f"epoch {epoch}", fontsize=8)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=160)
    return Image.open(drawn).convert("RGB")
