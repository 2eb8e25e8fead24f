"""Figure files keep their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sdk.plot.files import render, save_gif


def _flat(colours: np.ndarray) -> Figure:
    """A figure of 1 inch, filled with an image ``[H, W, 3]``."""
    figure = Figure(figsize=(1, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    axes.axis("off")
    return figure


def test_every_frame_of_an_animation_keeps_its_colours_though_each_has_others(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 100)
    frames = [
        np.stack([ramp, 1 - ramp, np.full_like(ramp, 0.5 * number)], -1).reshape(10, 10, 3) for number in range(3)
    ]
    save_gif([_flat(frame) for frame in frames], [100] * 3, tmp_path / "a.gif", dpi=40)
    with Image.open(tmp_path / "a.gif") as animation:
        for number, frame in enumerate(frames):
            animation.seek(number)
            found = np.asarray(animation.convert("RGB"), int)
            wanted = np.asarray(render(_flat(frame), 40), int)
            assert np.abs(found - wanted).max() <= 8


def test_white_stays_white(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((20, 20, 3)) * 0.02 + 0.98
    noise[:10] = 1
    save_gif([_flat(noise), _flat(np.sqrt(noise) * 0.9)], [100, 100], tmp_path / "a.gif", dpi=40)
    with Image.open(tmp_path / "a.gif") as animation:
        assert (np.asarray(animation.convert("RGB"))[:15] == 255).all()
