"""The vectorised evolution against the specification, and what it must keep to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.task import Task
from zoo.families.nca import reference as nca_reference
from zoo.families.nca.config import NcaConfig, Positions
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import (
    Lesson,
    draw_fires,
    position_codes,
    read_logits,
    run_networks,
    sense,
    silence,
    start_weights,
    wire,
)
from zoo.kernels.nca.reference import perceive

ARCHITECTURES = [(4, 3), (4, 2, 3), (3, 5, 1, 2), (1, 4)]


def build(**rule: Any) -> MetaNca:
    torch.manual_seed(0)
    config = NcaConfig.model_validate(
        {"layers": 3, "hidden": 5, "rule": rule, "meta": {"layers": [1, 2, 3], "hidden": [2, 5]}}
    )
    module = MetaNca(config, Task((4,), 3)).double()
    with torch.no_grad():
        for layer in module.rule.layers:
            layer.weight.normal_(0, 0.5)
    return module


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"pooling": "sum", "positions": "units", "memory": 2},
        {"layer_norm": True, "activation": "relu", "change": "sigmoid"},
        {"senses": "activations", "change": "linear", "scale": 0.1},
        {"senses": "teaching", "memory": 1},
        {"senses": "teaching", "positions": "none", "pooling": "sum"},
    ],
    ids=str,
)
def test_a_population_of_several_architectures_evolves_as_the_literal_loop_says(rule: dict[str, Any]) -> None:
    module = build(**rule)
    wiring = wire(ARCHITECTURES)
    weights = start_weights(wiring, "xavier").double()
    state = module.with_weights(weights, wiring)
    fires = draw_fires(wiring, 0.8, 3)
    inputs = torch.rand(len(ARCHITECTURES), 6, wiring.mask.shape[2], dtype=torch.float64)
    for network, units in enumerate(ARCHITECTURES):
        inputs[network, :, units[0] :] = 0
    targets = torch.zeros(len(ARCHITECTURES), 6, wiring.mask.shape[3], dtype=torch.float64)
    targets[..., 0] = 1
    lesson, config = Lesson(inputs, targets), module.config.rule
    found = state
    with torch.no_grad():
        for fire in fires:
            signals = sense(found, wiring, lesson, config.senses)
            found = module.rule.evolve(found, wiring, fire[None], signals if config.senses != "none" else None)
        expected = nca_reference.evolve(module.rule, state, wiring, fires, config.pooling, config.senses, lesson)
    assert not torch.equal(expected, state)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=4), min_size=1, max_size=3),
    st.integers(0, 2**16),
)
def test_a_network_evolves_the_same_alone_and_padded_among_others(architectures: list[list[int]], seed: int) -> None:
    module = build(positions="none", memory=1)
    generator = torch.Generator().manual_seed(seed)
    wiring = wire(architectures)
    state = module.with_weights(start_weights(wiring, "xavier", generator).double(), wiring)
    with torch.no_grad():
        together = module.rule.evolve(state, wiring, wiring.mask[None])
        for number, units in enumerate(architectures):
            alone = wire([units])
            _, layers, n, m = alone.mask.shape
            own = state[number : number + 1, :layers, :n, :m]
            result = module.rule.evolve(own, alone, alone.mask[None])
            torch.testing.assert_close(result, together[number : number + 1, :layers, :n, :m])


def test_weights_that_do_not_exist_stay_zero_and_those_that_do_not_fire_stay_as_they_are() -> None:
    module = build()
    wiring = wire(ARCHITECTURES)
    state = module.with_weights(start_weights(wiring, "xavier").double(), wiring)
    fires = draw_fires(wiring, 0.5, 1)
    with torch.no_grad():
        after = module.rule.evolve(state, wiring, fires)
    assert not after[~wiring.mask].any()
    changed = (after != state).any(-1)
    assert torch.equal(changed, fires[0])


def test_a_weight_alone_in_its_row_and_column_perceives_no_neighbours() -> None:
    wiring = wire([(1, 1)])
    state = torch.randn(1, 1, 1, 1, 3)
    perceived = perceive(state, wiring.units, "mean")
    assert torch.equal(perceived[..., :3], state)
    assert not perceived[..., 3:].any()


def test_a_fraction_of_the_weights_fires() -> None:
    wiring = wire([(20, 20)] * 20)
    share = draw_fires(wiring, 0.8, 1)[0][wiring.mask].float().mean()
    assert share.item() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("positions", "number_bits"), [("index", 6), ("units", 4)])
def test_position_codes_differ_for_every_weight_of_a_network(positions: Positions, number_bits: int) -> None:
    wiring = wire([(4, 10, 3), (4, 3)])
    codes = position_codes(wiring, positions, layer_bits=1, number_bits=number_bits)
    for network in range(2):
        own = codes[network][wiring.mask[network]]
        assert len(own.unique(dim=0)) == len(own)


def test_position_codes_are_binary_with_the_lowest_bit_first() -> None:
    wiring = wire([(4, 10, 3), (4, 3)])
    by_index = position_codes(wiring, "index", layer_bits=1, number_bits=6)
    assert by_index[0, 1, 2, 1].tolist() == [1, 1, 1, 1, 0, 0, 0]  # layer 1, index 2 * 3 + 1 = 7
    assert by_index[1, 0, 2, 1].tolist() == [0, 1, 1, 1, 0, 0, 0]
    by_units = position_codes(wiring, "units", layer_bits=1, number_bits=4)
    assert by_units[0, 1, 9, 2].tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 0]  # layer 1, from unit 9 to unit 2


def test_padded_networks_compute_what_their_layers_do() -> None:
    wiring = wire(ARCHITECTURES)
    weights = start_weights(wiring, "xavier")
    inputs = torch.randn(len(ARCHITECTURES), 5, wiring.mask.shape[2])
    logits = read_logits(run_networks(weights, inputs)[1], wiring)
    for network, units in enumerate(ARCHITECTURES):
        x = inputs[network, :, : units[0]]
        for layer in range(len(units) - 1):
            x = (x if layer == 0 else x.relu()) @ weights[network, layer, : units[layer], : units[layer + 1]]
        torch.testing.assert_close(logits[network, :, : units[-1]], x)
        assert logits[network, :, units[-1] :].isneginf().all()


def test_xavier_starts_have_the_published_bounds_and_zero_starts_are_zero() -> None:
    wiring = wire([(30, 20)])
    weights = start_weights(wiring, "xavier")
    bound = (6 / 50) ** 0.5
    assert weights.abs().max() <= bound
    assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not start_weights(wiring, "zero").any()


def test_a_teaching_signal_needs_targets() -> None:
    module = build(senses="teaching")
    wiring, state = module.begin([(4, 3)])
    with pytest.raises(ValueError, match="needs targets"):
        sense(state.double(), wiring, Lesson(torch.rand(1, 2, 4, dtype=torch.float64)), "teaching")


def test_silence_is_what_hidden_units_lack_to_a_tenth_and_leaves_outputs_and_padding_alone() -> None:
    wiring = wire([(2, 2, 1), (1, 3)])
    hidden = torch.tensor([[[0.5, -0.2, 0.0], [0.0, 0.3, 0.0]], [[-9.0, -9.0, -9.0], [-9.0, -9.0, -9.0]]])
    outputs = torch.full((2, 2, 3), -5.0)
    # Two hidden units: lacking 0 and 0.1 over the two examples, and 0.3 and 0. The second network has none.
    torch.testing.assert_close(silence([hidden, outputs], wiring), torch.tensor((0.05 + 0.15) / 2))
    assert float(silence([outputs], wire([(4, 3), (2, 3)]))) == 0
