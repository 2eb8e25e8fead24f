"""The units of a layered network and which pairs of them an edge may join.

Units are numbered through all layers, the input first: layer ``l`` holds units ``starts[l]`` to ``starts[l + 1]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Widths of the layers, the input first and the classes last."""

    widths: tuple[int, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first unit of each layer, and the number of all units at the end."""
        return (0, *accumulate(self.widths))

    @property
    def units(self) -> int:
        return self.starts[-1]

    @property
    def inputs(self) -> int:
        return self.widths[0]

    @property
    def output(self) -> int:
        """The number of the last layer."""
        return len(self.widths) - 1

    @property
    def possible(self) -> int:
        """Edges between adjacent layers if all were there: what densities are fractions of."""
        return sum(before * after for before, after in pairwise(self.widths))

    @cached_property
    def layer_of(self) -> Tensor:
        """The layer of each unit, int64 ``[units]``."""
        return torch.repeat_interleave(torch.arange(len(self.widths)), torch.tensor(self.widths))

    def layer(self, number: int) -> slice:
        """The units of a layer."""
        return slice(self.starts[number], self.starts[number + 1])

    def biases(self, bias: Tensor) -> list[Tensor]:
        """Those of each layer after the input, out of all ``[..., units - inputs]``."""
        ends = [start - self.inputs for start in self.starts]
        return [bias[..., ends[number] : ends[number + 1]] for number in range(1, len(self.widths))]

    def edges_at(self, density: float) -> int:
        """How many edges a density allows: the fraction of those possible, rounded down."""
        return int(density * self.possible)

    def allows(self, source: int, target: int) -> bool:
        """An edge joins two layers and does not end in the input."""
        return target >= self.inputs and bool(self.layer_of[source] != self.layer_of[target])
