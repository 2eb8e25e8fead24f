"""The animation of an evolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdk.plot.nca import animate_evolution
from zoo.families.nca.figures import as_arrays, draw_curves
from zoo.families.nca.model import GrownNetwork


def test_equal_weights_of_either_sign_have_their_own_colours_in_every_frame(tmp_path: Path) -> None:
    """The last frame has neither the most positive nor the most negative weight."""
    history = [[torch.full((2, 2), value)] for value in (-2.0, -1.0, 1.0, 2.0, 0.0)]
    grown = GrownNetwork(history[-1], torch.zeros(2), torch.ones(2), history)
    animate_evolution(as_arrays(grown), tmp_path / "evolution.gif")
    colours = []
    with Image.open(tmp_path / "evolution.gif") as animation:
        assert animation.width >= 400
        for frame in range(animation.n_frames):
            animation.seek(frame)
            pixels = np.asarray(animation.convert("RGB"))
            colours.append(pixels[pixels.shape[0] // 2, pixels.shape[1] // 3].astype(int))
    negative, less, more, positive, zero = colours
    assert negative[2] > negative[0] + 50
    assert positive[0] > positive[2] + 50
    assert np.abs(zero - 247).max() < 8
    assert less[2] - less[0] > 50
    assert more[0] - more[2] > 50
    assert negative[2] < less[2]


def test_curves_that_coincide_stay_apart_by_style() -> None:
    figure = draw_curves([0, 1], {"a": [1, 1], "b": [1, 1], "c": [1, 1]}, "weights deleted (%)")
    lines = figure.axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3
    assert lines[0].get_linewidth() > lines[-1].get_linewidth()
