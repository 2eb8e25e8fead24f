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
    """Of activations ``[samples, 20]`` of the hidden layer; the other layers are in between."""
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


def test_a_tanh_unit_that_swings_between_its_ends_is_high_though_its_mean_is_zero() -> None:
    hidden = torch.full((8, 20), 0.5)
    hidden[::2, 3], hidden[1::2, 3] = -0.99, 0.99
    found = extrema(hidden)
    assert (units(found.high), 3 in units(found.low)) == ([3], False)


def test_a_sigmoid_is_judged_by_its_level() -> None:
    hidden = torch.full((8, 20), 0.5)
    hidden[:, 3], hidden[:, 9] = 0.99, 0.01
    found = extrema(hidden, "sigmoid")
    assert (units(found.high), units(found.low)) == ([3], [9])


def test_a_relu_that_is_zero_nine_times_in_ten_is_low() -> None:
    hidden = torch.full((20, 20), 0.5)
    hidden[1:, 9] = 0  # once in twenty
    hidden[2:, 8] = 0  # twice in twenty: exactly 90 %
    assert units(extrema(hidden, "relu").low) == [9]


def test_where_a_threshold_finds_none_the_top_and_bottom_share_is_taken() -> None:
    hidden = torch.linspace(0.2, 0.8, 20).expand(8, 20)
    found = extrema(hidden, share=0.1)
    assert (units(found.high), units(found.low)) == ([18, 19], [0, 1])
    found = extrema(hidden, share=0)
    assert (units(found.high), units(found.low)) == ([], [])


def test_high_and_low_fall_back_one_by_one() -> None:
    hidden = torch.linspace(0.2, 0.99, 20).expand(8, 20)
    found = extrema(hidden)
    assert units(found.high) == [19]
    assert units(found.low) == [0]


def test_the_input_is_only_a_source_and_the_output_only_a_target() -> None:
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


def test_a_network_without_extrema_says_so() -> None:
    assert not Extrema(torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)).found
