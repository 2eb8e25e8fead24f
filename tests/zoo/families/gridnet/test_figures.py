"""The figures of a gridnet's probe."""

from __future__ import annotations

import torch

from zoo.families.gridnet.figures import draw_activity


def test_the_activity_has_a_colour_bar_with_its_unit() -> None:
    figure = draw_activity([torch.randn(3, 4, 4, 2) for _ in range(3)])
    *panels, bar = figure.axes
    assert len(panels) == 2
    assert bar.get_ylabel() == "value / 99th percentile of the row"
