"""Figure files: small, with two pixels for each that a page shows, and the same bytes for the same figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

DPI = 160
"""Twice the 80 pixels that a page shows to an inch of a figure."""
_COLOURS, _EXACT = 256, 64


def save_png(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure as PNG with a palette of 256 colours, which is less than half the usual size."""
    render(figure, dpi).quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def save_gif(figures: Iterable[Figure], durations: Sequence[int], path: Path, dpi: int = DPI) -> None:
    """Write an endless animation with one palette for all frames, each shown for so many milliseconds.

    A palette taken from one frame would lack the colours of the others, so that different values would look the same.
    """
    frames = [render(figure, dpi) for figure in figures]
    palette = _palette(frames)
    first, *rest = [_indexed(frame, palette) for frame in frames]
    first.save(path, save_all=True, append_images=rest, duration=list(durations), loop=0, optimize=True)


def render(figure: Figure, dpi: int = DPI) -> Image.Image:
    """Return the pixels of a figure."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, facecolor="white")
    return Image.open(drawn).convert("RGB")


def _palette(frames: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """Return at most 256 colours for all frames: their own if they have no more, else the commonest and close ones."""
    counts: dict[int, int] = {}
    for frame in frames:
        for code, count in zip(*np.unique(_codes(frame), return_counts=True), strict=True):
            counts[int(code)] = counts.get(int(code), 0) + int(count)
    ordered = np.array(sorted(counts, key=lambda code: (-counts[code], code)), np.uint32)
    if len(ordered) <= _COLOURS:
        return _colours(ordered)
    # Each of the others counts once: a few pixels of a rare colour matter as much as an edge of a letter.
    strip = Image.fromarray(_colours(ordered[_EXACT:])[None], "RGB")
    close = strip.quantize(_COLOURS - _EXACT, method=Image.Quantize.MAXCOVERAGE, kmeans=2).getpalette() or []
    found = np.array(close, np.uint8).reshape(-1, 3)[: _COLOURS - _EXACT]
    return np.concatenate([_colours(ordered[:_EXACT]), found])


def _indexed(frame: Image.Image, palette: NDArray[np.uint8]) -> Image.Image:
    """Return a frame in the closest colours of the palette; Pillow's own search rounds colours first."""
    codes = _codes(frame)
    found, places = np.unique(codes, return_inverse=True)
    gaps = _colours(found)[:, None].astype(np.int32) - palette.astype(np.int32)
    nearest = np.square(gaps).sum(-1).argmin(-1).astype(np.uint8)
    image = Image.fromarray(nearest[places.reshape(codes.shape)], "P")
    image.putpalette(palette.tobytes())
    return image


def _codes(frame: Image.Image) -> NDArray[np.uint32]:
    """Return the pixels of an RGB image as one number each."""
    red, green, blue = np.moveaxis(np.asarray(frame, np.uint32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue)


def _colours(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return numbers of :func:`_codes` as colours ``[n, 3]``."""
    return np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], -1).astype(np.uint8)
