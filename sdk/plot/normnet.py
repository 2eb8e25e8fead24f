"""Pictures of a NormNet's states: the outputs of its layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdk.plot.style import BLUE, DIVERGING, QUIET, styled

Floats = NDArray[np.floating]
LAYERS_CAPTION = (
    "The outputs of every layer. Above: one sample's, a square per unit or channel. Below: how often each value occurs "
    "among all samples; the outputs of a layer stay within its scale."
)
_CHANNELS = 16  # shown of a convolution
_BINS = 41


def draw_layers(layers: Sequence[Floats]) -> Figure:
    """Draw the first sample's outputs per layer ``[B, units]`` or ``[B, channels, *space]``, and their histograms."""
    with styled():
        figure = Figure(figsize=(max(4.0, 2.0 * len(layers) + 0.6), 3.6), layout="constrained")
        pictures, histograms = figure.subplots(2, len(layers), squeeze=False, height_ratios=(1.6, 1))
        for number, (layer, above, below) in enumerate(zip(layers, pictures, histograms, strict=True)):
            largest = max(float(np.abs(layer).max()), 1e-12)
            drawn = above.imshow(square(layer[0]), cmap=DIVERGING, vmin=-largest, vmax=largest, interpolation="nearest")
            above.set(xticks=[], yticks=[])
            name = "logits" if number == len(layers) - 1 else f"layer {number}"
            above.set_title(f"{name}: {' x '.join(map(str, layer.shape[1:]))}")
            bar = figure.colorbar(drawn, ax=above, shrink=0.8)
            bar.ax.tick_params(labelsize=6)
            _draw_histogram(below, layer, largest)
        histograms[0].set_ylabel("share of outputs, %")
    return figure


def _draw_histogram(axes: Axes, layer: Floats, largest: float) -> None:
    counts, edges = np.histogram(layer, bins=_BINS, range=(-largest, largest))
    axes.bar(edges[:-1], 100 * counts / layer.size, width=np.diff(edges), align="edge", color=BLUE)
    axes.axvline(0, color=QUIET, linewidth=0.6)
    axes.set(xlabel="output")
    axes.tick_params(labelsize=6)


def square(output: Floats) -> Floats:
    """Arrange one sample's outputs as an image: units row by row, channels as tiles."""
    if output.ndim == 1:
        side = int(np.ceil(np.sqrt(output.size)))
        padded = np.full(side * side, np.nan)
        padded[: output.size] = output
        return padded.reshape(side, side)
    maps = output[:_CHANNELS].reshape(min(len(output), _CHANNELS), output.shape[1], -1)
    side = int(np.ceil(np.sqrt(len(maps))))
    tiles = [np.pad(channel, 1, constant_values=np.nan) for channel in maps]
    tiles += [np.full_like(tiles[0], np.nan)] * (side * side - len(tiles))
    rows = [np.concatenate(tiles[i * side : (i + 1) * side], 1) for i in range(side)]
    return np.concatenate(rows)
