"""The structure of a network of units with few edges."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Network:
    """The edges between units. A row is an input that edges read, or a computed unit; a unit reads rows before its own.

    Units that stand for one at several times, as in a network that is swept repeatedly, share biases, and their edges
    share weights.
    """

    inputs: int
    """Numbers of a sample."""
    layers: tuple[int, ...]
    """Number of computed units of each layer, which read earlier layers alone; the last one's are the outputs."""
    columns: Tensor
    """The inputs that edges read, ascending, int32 ``[used]``; they are the first rows."""
    starts: Tensor
    """Index of the first edge of each computed unit, int32 ``[computed + 1]``."""
    sources: Tensor
    """The row that each edge reads, int32 ``[edges]``."""
    slots: Tensor
    """Each edge's place among the weights, int32 ``[edges]``."""

    @classmethod
    def of(cls, inputs: int, layers: tuple[int, ...], source: Tensor, target: Tensor, slots: Tensor) -> Network:
        """Build from edges, int64 ``[edges]`` each, in any order.

        Inputs and then computed units are numbered through. Raises ValueError for an edge that leads into an input,
        leaves the network, or does not lead to a later layer.
        """
        sizes = torch.tensor([inputs, *layers], device=source.device)
        layer_of = torch.repeat_interleave(torch.arange(len(sizes), device=source.device), sizes)
        units = len(layer_of)
        inside = (source >= 0) & (source < units) & (target >= inputs) & (target < units)
        if not bool(inside.all()) or not bool((layer_of[source] < layer_of[target]).all()):
            raise ValueError(f"edges should lead from a layer of {inputs}, {layers} to a later one")
        order = (target * units + source).argsort()
        source, target, slots = source[order], target[order] - inputs, slots[order]
        columns = torch.unique(source[source < inputs])
        rows = torch.where(source < inputs, torch.searchsorted(columns, source), source - inputs + len(columns))
        counts = torch.bincount(target, minlength=sum(layers))
        starts = F.pad(counts.cumsum(0), (1, 0))
        return cls(inputs, layers, columns.int(), starts.int(), rows.int(), slots.int())

    @property
    def outputs(self) -> int:
        return self.layers[-1]

    @property
    def density(self) -> float:
        """Edges over those that a network with the same layers and units could have."""
        size, possible = self.inputs, 0
        for units in self.layers:
            possible += size * units
            size += units
        return len(self.sources) / possible

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The tensors that the op takes, in order."""
        return self.columns, self.starts, self.sources, self.slots
