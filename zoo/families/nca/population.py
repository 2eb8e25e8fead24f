"""A population of task networks: which weights exist, how they start, and which of them change in an epoch.

A task network is a bias-free MLP. Networks of different depths and widths share one tensor: ``L`` layers of
``N x M`` weights, padded with weights that do not exist. Every weight has a state of ``C = 1 + H`` numbers: the
weight itself and ``H`` hidden ones. One epoch applies the rule once to a random part of all weights:
:mod:`zoo.kernels.nca` does it for a whole population, :mod:`zoo.families.nca.reference` weight by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.transfer import send
from zoo.families.nca.config import Positions, Start
from zoo.kernels.nca import remember_units
from zoo.kernels.nca.reference import existing


@dataclass(frozen=True)
class Wiring:
    """The weights that exist in a population of ``P`` networks, padded to ``L`` layers of ``N x M`` weights."""

    units: Tensor
    """``[P, L + 1]``: number of units in each layer of units, 0 beyond the last."""
    mask: Tensor
    """bool ``[P, L, N, M]``: True where weight (i, j) of a layer exists."""
    counts: Tensor
    """``units`` in int32, as the kernel reads them."""

    @property
    def depth(self) -> Tensor:
        """``[P]``: layers of weights of each network."""
        return (self.units > 0).sum(1) - 1

    @property
    def fan_in(self) -> Tensor:
        """``[P, L, 1, 1]``: units that each layer reads."""
        return self.units[:, :-1, None, None]

    @property
    def fan_out(self) -> Tensor:
        """``[P, L, 1, 1]``: units that each layer feeds."""
        return self.units[:, 1:, None, None]

    @property
    def is_last(self) -> list[Tensor]:
        """Per layer, bool ``[P, 1, 1]``: True where it is the network's last."""
        layers = self.mask.shape[1]
        return [(self.depth == layer + 1)[:, None, None] for layer in range(layers)]

    @property
    def is_class(self) -> Tensor:
        """bool ``[P, 1, M]``: True where the network has this output."""
        classes = self.units.gather(1, self.depth[:, None])
        return (torch.arange(self.mask.shape[3], device=classes.device) < classes)[:, None]


def wire(architectures: Sequence[Sequence[int]], device: torch.device | None = None) -> Wiring:
    """Return the wiring of networks given as units per layer, inputs first: ``[4, 10, 3]`` has two weight layers."""
    layers = max(len(units) for units in architectures) - 1
    padded = [[*units, *[0] * (layers + 1 - len(units))] for units in architectures]
    units = torch.tensor(padded)
    mask = existing(units, int(units[:, :-1].max()), int(units[:, 1:].max()))
    place = torch.device("cpu") if device is None else device
    wiring = Wiring(send(units, place), send(mask, place), send(units.int(), place))
    remember_units(wiring.counts, units.int())
    return wiring


def start_weights(wiring: Wiring, start: Start, generator: torch.Generator | None = None) -> Tensor:
    """Return weights ``[P, L, N, M]`` before the first epoch: zero, or uniform as in Glorot and Bengio (2010).

    Random numbers are drawn on the CPU, so that a seed means the same on every device.
    """
    shape, device = wiring.mask.shape, wiring.mask.device
    if start == "zero":
        return torch.zeros(shape, device=device)
    noise = send(torch.rand(shape, generator=generator) * 2 - 1, device)
    return noise * (6 / (wiring.fan_in + wiring.fan_out).clamp(min=1)).sqrt() * wiring.mask


def draw_fire_mask(wiring: Wiring, fraction: float, epochs: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the weights that change in each epoch: bool ``[epochs, P, L, N, M]``, each with probability ``fraction``.

    Drawn in the order of epochs and on the CPU, so that a seed means the same on every device and for every split of an
    evolution into calls.
    """
    drawn = torch.rand(epochs, *wiring.mask.shape, generator=generator) < fraction
    return send(drawn, wiring.mask.device) & wiring.mask


def position_codes(wiring: Wiring, positions: Positions, layer_bits: int, number_bits: int) -> Tensor:
    """Return ``[P, L, N, M, H]`` binary codes, lowest bit first: the layer's number, then the position within it.

    "index": the weight's index in the layer, row by row, in ``number_bits``. "units": the number of the unit that the
    weight comes from and of the unit that it leads to, in ``number_bits`` each. "none": H = 0.
    """
    layers, rows, columns = (torch.arange(n, device=wiring.mask.device) for n in wiring.mask.shape[1:])
    shape = wiring.mask.shape
    if positions == "none":
        return torch.zeros(*shape, 0, device=wiring.mask.device)
    codes = [_bits(layers[:, None, None].expand(shape), layer_bits)]
    if positions == "index":
        codes.append(_bits(rows[:, None] * wiring.fan_out + columns, number_bits))
    else:
        codes += [_bits(rows[:, None].expand(shape), number_bits), _bits(columns.expand(shape), number_bits)]
    return torch.cat(codes, -1) * wiring.mask[..., None]


def _bits(numbers: Tensor, count: int) -> Tensor:
    return (numbers[..., None] >> torch.arange(count, device=numbers.device) & 1).float()
