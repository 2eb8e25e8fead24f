"""The figures of a snapshots network's probe."""

from __future__ import annotations

from typing import Any

import sdk
from zoo.families.snapshots.figures import draw_growth


def test_the_legend_of_growth_says_which_axis_each_curve_has() -> None:
    net: Any = sdk.load("bundled:snapshots-digits", backend="torch").module
    history = [{"epoch": epoch, "train_edges": 3 * epoch, "validation_accuracy": 0.5} for epoch in (1, 2)]
    [legend] = draw_growth(net, history).legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["growth", "edges (left)", "validation accuracy (right)", "snapshots (right)"]
