"""Populations: wiring, starts, fire masks and position codes."""

from __future__ import annotations

import pytest
import torch

from zoo.families.nca.config import Positions
from zoo.families.nca.population import draw_fire_mask, position_codes, start_weights, wire
from zoo.kernels.nca.reference import perceive


def test_a_weight_alone_in_its_row_and_column_perceives_no_neighbours() -> None:
    wiring = wire([(1, 1)])
    state = torch.randn(1, 1, 1, 1, 3)
    perceived = perceive(state, wiring.units, "mean")
    assert torch.equal(perceived[..., :3], state)
    assert not perceived[..., 3:].any()


def test_epochs_draw_the_same_weights_in_one_call_as_in_several() -> None:
    wiring = wire([(4, 5, 3), (2, 3)])
    one, several = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    parts = [draw_fire_mask(wiring, 0.6, epochs, several) for epochs in (1, 4, 1)]
    assert torch.equal(draw_fire_mask(wiring, 0.6, 6, one), torch.cat(parts))


def test_the_fire_mask_selects_a_fraction_of_the_weights() -> None:
    wiring = wire([(20, 20)] * 20)
    share = draw_fire_mask(wiring, 0.8, 1)[0][wiring.mask].float().mean()
    assert share.item() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("positions", "number_bits"), [("index", 6), ("units", 4)])
def test_every_weight_of_a_network_has_its_own_position_code(positions: Positions, number_bits: int) -> None:
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


def test_xavier_starts_have_the_published_bounds_and_zero_starts_are_zero() -> None:
    wiring = wire([(30, 20)])
    weights = start_weights(wiring, "xavier")
    bound = (6 / 50) ** 0.5
    assert weights.abs().max() <= bound
    assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not start_weights(wiring, "zero").any()
