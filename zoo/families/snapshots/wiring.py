"""Edges of a network sorted by the layer they end in, as a forward pass reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.families.snapshots.layout import Layout
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.sparse_network import Network


@dataclass(frozen=True)
class Incoming:
    """Edges into one layer from a group of other layers."""

    sources: range
    """The layers of the group: the input alone (it needs no gradient), hidden layers, or the layers ahead."""
    slots: Tensor
    """Slots of the edges among the network's weights, int64, in the structure's order."""
    structure: Structure

    def __call__(self, layers: list[Tensor], weight: Tensor) -> Tensor:
        """Return the sums ``[B, units]`` that a layer receives, from the activations of all layers and all weights."""
        before = [layers[number] for number in self.sources]
        x = before[0] if len(before) == 1 else torch.cat(before, 1)
        return sparse_linear(x, weight.index_select(0, self.slots), self.structure)


@dataclass(frozen=True)
class Wiring:
    """All edges by the layer they end in, starting with the first layer after the input."""

    forward: tuple[tuple[Incoming, ...], ...]
    """Edges that read the current sweep."""
    back: tuple[tuple[Incoming, ...], ...]
    """Edges that read the previous sweep."""
    edges: int
    """Cost of one sample: every edge counts once per sweep that reads it."""

    @property
    def recurrent(self) -> bool:
        """True if some edges lead back."""
        return any(self.back)


def wire(layout: Layout, source: Tensor, target: Tensor, sweeps: int) -> Wiring:
    """Sort edges ``source``, ``target`` ``[edges]`` (int64) by the layer they end in."""
    output, layer_of = layout.output, layout.layer_of.to(source.device)
    forward, back = [], []
    for number in range(1, output + 1):
        into = layer_of[target] == number
        groups = (range(1), range(1, number), range(number + 1, output + 1))
        incoming = [
            _incoming(layout, source, target, into & _in(layer_of[source], group), group, number) for group in groups
        ]
        forward.append(tuple(i for i in incoming[:2] if len(i.slots)))
        back.append(tuple(i for i in incoming[2:] if len(i.slots)))
    backward = sum(len(incoming.slots) for layer in back for incoming in layer)
    sweeps = sweeps if backward else 1
    return Wiring(tuple(forward), tuple(back), (len(source) - backward) * sweeps + backward * (sweeps - 1))


def unrolled(layout: Layout, source: Tensor, target: Tensor, sweeps: int) -> Network:
    """Return edges ``source``, ``target`` ``[edges]`` (int64) as one network, whose layers follow sweep by sweep."""
    layer_of, computed = layout.layer_of.to(source.device), layout.units - layout.inputs
    ahead = layer_of[source] > layer_of[target]
    sweeps = sweeps if bool(ahead.any()) else 1
    forward, back = (~ahead).nonzero().flatten(), ahead.nonzero().flatten()
    sources, targets, slots = [], [], []
    for sweep in range(sweeps):
        for edges, read in ((forward, sweep), (back, sweep - 1)):
            if read < 0:
                continue
            units = source[edges]
            sources.append(torch.where(units < layout.inputs, units, units + read * computed))
            targets.append(target[edges] + sweep * computed)
            slots.append(edges)
    layers = tuple(layout.widths[1:]) * sweeps
    return Network.of(layout.inputs, layers, torch.cat(sources), torch.cat(targets), torch.cat(slots))


def _incoming(layout: Layout, source: Tensor, target: Tensor, chosen: Tensor, group: range, number: int) -> Incoming:
    """Return the chosen edges, which lead from the layers of a group into layer ``number``."""
    first, last = layout.starts[group.start], layout.starts[group.stop]
    slots = chosen.nonzero().flatten()
    slots = slots[(target[slots] * layout.units + source[slots]).argsort()]
    rows, columns = target[slots] - layout.starts[number], source[slots] - first
    return Incoming(group, slots, Structure.of(layout.widths[number], last - first, rows, columns))


def _in(layers: Tensor, group: range) -> Tensor:
    return (layers >= group.start) & (layers < group.stop)
