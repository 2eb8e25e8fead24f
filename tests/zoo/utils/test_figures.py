"""Figure files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from zoo.utils.figures import save_png


def draw() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1, 4, 9])
    return figure


def test_equal_figures_give_equal_bytes_with_a_palette(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save_png(draw(), tmp_path / name, dpi=50)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert (image.size, image.mode) == ((150, 100), "P")
