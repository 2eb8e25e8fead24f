"""The local rule: an MLP from a weight's perceptions to the change of its state."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.nca.config import RuleConfig
from zoo.families.nca.population import Wiring
from zoo.families.nca.sensing import SIGNALS
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import RuleSpec

SIGNAL_GAIN = 20.0
"""Factor of teaching signals before they are compressed."""


class Rule(nn.Module):
    """An MLP from ``features`` perceived numbers to the change of a weight's ``channels`` numbers."""

    def __init__(self, config: RuleConfig, channels: int) -> None:
        super().__init__()
        self.config, self.channels = config, channels
        self.features = 3 * channels + SIGNALS[config.senses]
        widths = (self.features, *config.hidden, channels)
        self.spec = RuleSpec(widths, config.activation, config.change, config.scale, config.pooling, config.layer_norm)
        self.norm = nn.LayerNorm(self.features) if config.layer_norm else nn.Identity()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(widths))
        if config.change == "tanh":  # the first evolutions should hardly move
            with torch.no_grad():
                self.linears[-1].weight.mul_(0.1)
                self.linears[-1].bias.zero_()

    @property
    def linears(self) -> list[nn.Linear]:
        """The MLP's layers in order."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def evolve(self, state: Tensor, wiring: Wiring, fire_mask: Tensor, signals: Tensor | None = None) -> Tensor:
        """Apply the rule for T epochs to states ``[P, L, N, M, C]`` and return the new ones.

        ``fire_mask [T, P, L, N, M]`` selects the weights that change in each epoch. ``signals [P, L, N, M, SIGNALS]``,
        for a rule that senses, are constant over the epochs.
        """
        if signals is not None:
            signals = self._compress(signals).to(state.dtype)
        return evolve(state, signals, fire_mask, wiring.counts, self.flat_parameters(), self.spec)

    def flat_parameters(self) -> Tensor:
        """Return all parameters as one vector, in the order of :class:`RuleSpec`."""
        return torch.cat([parameter.flatten() for parameter in self.parameters()])

    def forward(self, perceptions: Tensor) -> Tensor:
        """Map perceptions ``[..., features]`` to changes ``[..., channels]``, as ``evolve`` does for each weight.

        Only the literal loop in :mod:`zoo.families.nca.reference` calls it.
        """
        own = 3 * self.channels
        x: Tensor = self.norm(torch.cat([perceptions[..., :own], self._compress(perceptions[..., own:])], -1))
        for layer in self.layers[:-1]:
            x = layer(x)
            x = x.relu() if self.config.activation == "relu" else F.silu(x)
        x = self.layers[-1](x)
        if self.config.change != "linear":
            x = x.tanh() if self.config.change == "tanh" else x.sigmoid()
        return x * self.config.scale

    def _compress(self, signals: Tensor) -> Tensor:
        # Teaching signals fall by orders of magnitude as networks learn: asinh is in effect their logarithm.
        return (signals * SIGNAL_GAIN).asinh() / 2 if self.config.senses == "teaching" else signals
