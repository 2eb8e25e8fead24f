"""Rule 3: the extrema."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.families.snapshots.config import ExtremaConfig
from zoo.families.snapshots.extrema import Activity, Extrema, find_extrema
from zoo.families.snapshots.layout import Layout

LAYOUT = Layout((4, 20, 3))
HIDDEN = slice(4, 24)


def extrema(hidden: Tensor, activation: str = "tanh", inputs: Tensor | None = None, **options: object) -> Extrema:
    """Find the extrema for activations ``[samples, 20]`` of the hidden layer; other layers stay mid-range."""
    others = torch.full((len(hidden), 4), 0.5) if inputs is None else inputs
    activity = Activity.of(torch.cat([others, hidden, torch.full((len(hidden), 3), 0.5)], 1))
    return find_extrema(activity, LAYOUT, activation, ExtremaConfig(**options))


def units(mask: Tensor) -> list[int]:
    return mask[HIDDEN].nonzero().flatten().tolist()


def test_a_tanh_unit_saturated_at_minus_one_is_high_not_low() -> None:
    hidden = torch.full((8, 20), 0.5)
    hidden[:, 3], hidden[:, 7], hidden[:, 9] = -0.99, 0.99, 0.01
    found = extrema(hidden)
    assert (units(found.high), units(found.low)) == ([3, 7], [9])


def test_a_tanh_unit_that_swings_between_its_ends_is_high_despite_a_zero_mean() -> None:
    hidden = torch.full((8, 20), 0.5)
    hidden[::2, 3], hidden[1::2, 3] = -0.99, 0.99
    found = extrema(hidden)
    assert (units(found.high), 3 in units(found.low)) == ([3], False)


def test_sigmoid_units_are_ranked_by_their_level() -> None:
    hidden = torch.full((8, 20), 0.5)
    hidden[:, 3], hidden[:, 9] = 0.99, 0.01
    found = extrema(hidden, "sigmoid")
    assert (units(found.high), units(found.low)) == ([3], [9])


def test_a_relu_unit_is_low_if_it_is_zero_more_than_nine_times_in_ten() -> None:
    hidden = torch.full((20, 20), 0.5)
    hidden[1:, 9] = 0  # non-zero once in twenty
    hidden[2:, 8] = 0  # non-zero twice in twenty: zero in exactly 90 %
    assert units(extrema(hidden, "relu").low) == [9]


def test_the_top_and_bottom_share_is_taken_if_a_threshold_finds_no_unit() -> None:
    hidden = torch.linspace(0.2, 0.8, 20).expand(8, 20)
    found = extrema(hidden, share=0.1)
    assert (units(found.high), units(found.low)) == ([18, 19], [0, 1])
    found = extrema(hidden, share=0)
    assert (units(found.high), units(found.low)) == ([], [])


def test_high_and_low_fall_back_to_the_share_independently() -> None:
    hidden = torch.linspace(0.2, 0.99, 20).expand(8, 20)
    found = extrema(hidden)
    assert units(found.high) == [19]
    assert units(found.low) == [0]


def test_inputs_are_never_low_and_classes_never_high() -> None:
    found = extrema(torch.zeros(8, 20))
    assert not found.low[:4].any()
    assert found.high[:4].any()
    assert not found.high[24:].any()
    assert found.low[24:].any()


def test_every_input_that_varies_can_be_high_and_every_class_low() -> None:
    inputs = torch.zeros(8, 4)
    inputs[0, 2] = 0.1
    found = extrema(torch.zeros(8, 20), inputs=inputs, ends="all")
    assert found.high[:4].tolist() == [False, False, True, False]
    assert found.low[24:].all()


def test_extrema_are_found_only_if_some_units_are_high_and_some_low() -> None:
    assert not Extrema(torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)).found
