"""The figures of a gridnet's probe."""

from __future__ import annotations

import torch

from zoo.families.gridnet.figures import draw_confusion, draw_steps


def test_the_panels_of_steps_have_units() -> None:
    figure = draw_steps([torch.randn(3, 4, 4, 2) for _ in range(3)], [0.1, 0.5, 0.9], 2)
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["outer steps", "outer steps"]
    assert figure.axes[1].get_ylabel() == "test accuracy in %"


def test_confusions_of_few_classes_show_their_counts() -> None:
    texts = draw_confusion(torch.tensor([[3, 0], [1, 2]]), ["a", "b"]).axes[0].texts
    assert sorted(text.get_text() for text in texts) == ["1", "2", "3"]
