"""Forward pass of a population of task networks."""

from __future__ import annotations

import torch

from zoo.families.nca.networks import read_logits, run_networks, silence_penalty
from zoo.families.nca.population import start_weights, wire

ARCHITECTURES = [(4, 3), (4, 2, 3), (3, 5, 1, 2), (1, 4)]


def test_padded_networks_compute_the_same_as_their_layers() -> None:
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


def test_the_silence_penalty_is_the_shortfall_of_hidden_units_and_ignores_outputs_and_padding() -> None:
    wiring = wire([(2, 2, 1), (1, 3)])
    hidden = torch.tensor([[[0.5, -0.2, 0.0], [0.0, 0.3, 0.0]], [[-9.0, -9.0, -9.0], [-9.0, -9.0, -9.0]]])
    outputs = torch.full((2, 2, 3), -5.0)
    # Over the two examples one hidden unit falls short by 0 and 0.1, the other by 0.3 and 0. Network 2 has none.
    torch.testing.assert_close(silence_penalty([hidden, outputs], wiring), torch.tensor((0.05 + 0.15) / 2))
    assert float(silence_penalty([outputs], wire([(4, 3), (2, 3)]))) == 0
