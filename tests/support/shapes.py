"""Generated pictures of three shapes, one folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ["circle", "cross", "square"]


def draw_shape(shape: str, generator: np.random.Generator, mode: str = "RGB", side: int = 32) -> Image.Image:
    """Draw one bright shape of random place and size on a dark ground."""
    ground, ink = generator.integers(0, 60, 3), generator.integers(180, 256, 3)
    image = Image.new("RGB", (side, side), tuple(map(int, ground)))
    draw, colour = ImageDraw.Draw(image), tuple(map(int, ink))
    half = int(generator.integers(side // 4, side * 2 // 5))
    x, y = (int(value) for value in generator.integers(half, side - half, 2))
    box = (x - half, y - half, x + half, y + half)
    if shape == "circle":
        draw.ellipse(box, outline=colour, width=max(2, side // 10))
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    else:
        width = max(2, side // 8)
        draw.line((x - half, y, x + half, y), fill=colour, width=width)
        draw.line((x, y - half, x, y + half), fill=colour, width=width)
    return image.convert(mode)


def write_shapes(folder: Path, count: int = 60, modes: tuple[str, ...] = ("L", "RGB"), side: int = 32) -> Path:
    """Write ``count`` PNG files, an equal number per shape, alternating between the modes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        shape, mode = SHAPES[number % 3], modes[number // 3 % len(modes)]
        path = folder / shape / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_shape(shape, generator, mode, side).save(path)
    return folder
