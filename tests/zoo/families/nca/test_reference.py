"""The vectorised evolution of a population, compared with its specification."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.task import Task
from zoo.families.nca import reference
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.population import draw_fire_mask, start_weights, wire
from zoo.families.nca.sensing import SupportSet, sense

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
        {"senses": "sums", "scale": 0.1},
        {"senses": "teaching", "memory": 1},
        {"senses": "teaching", "positions": "none", "pooling": "sum"},
    ],
    ids=str,
)
def test_a_mixed_population_evolves_as_in_the_literal_loop(rule: dict[str, Any]) -> None:
    module = build(**rule)
    wiring = wire(ARCHITECTURES)
    weights = start_weights(wiring, "xavier").double()
    state = module.initial_state(weights, wiring)
    fire_mask = draw_fire_mask(wiring, 0.8, 3)
    inputs = torch.rand(len(ARCHITECTURES), 6, wiring.mask.shape[2], dtype=torch.float64)
    for network, units in enumerate(ARCHITECTURES):
        inputs[network, :, units[0] :] = 0
    targets = torch.zeros(len(ARCHITECTURES), 6, wiring.mask.shape[3], dtype=torch.float64)
    targets[..., 0] = 1
    support, config = SupportSet(inputs, targets), module.config.rule
    found = state
    with torch.no_grad():
        for epoch in fire_mask:
            signals = sense(found, wiring, support, config.senses)
            found = module.rule.evolve(found, wiring, epoch[None], signals if config.senses != "none" else None)
        expected = reference.evolve(module.rule, state, wiring, fire_mask, config.pooling, config.senses, support)
    assert not torch.equal(expected, state)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=4), min_size=1, max_size=3),
    st.integers(0, 2**16),
)
def test_a_network_evolves_the_same_alone_and_in_a_padded_population(architectures: list[list[int]], seed: int) -> None:
    module = build(positions="none", memory=1)
    generator = torch.Generator().manual_seed(seed)
    wiring = wire(architectures)
    state = module.initial_state(start_weights(wiring, "xavier", generator).double(), wiring)
    with torch.no_grad():
        together = module.rule.evolve(state, wiring, wiring.mask[None])
        for number, units in enumerate(architectures):
            alone = wire([units])
            _, layers, n, m = alone.mask.shape
            own = state[number : number + 1, :layers, :n, :m]
            result = module.rule.evolve(own, alone, alone.mask[None])
            torch.testing.assert_close(result, together[number : number + 1, :layers, :n, :m])


def test_missing_weights_stay_zero_and_weights_outside_the_fire_mask_stay_unchanged() -> None:
    module = build()
    wiring = wire(ARCHITECTURES)
    state = module.initial_state(start_weights(wiring, "xavier").double(), wiring)
    fire_mask = draw_fire_mask(wiring, 0.5, 1)
    with torch.no_grad():
        after = module.rule.evolve(state, wiring, fire_mask)
    assert not after[~wiring.mask].any()
    changed = (after != state).any(-1)
    assert torch.equal(changed, fire_mask[0])
