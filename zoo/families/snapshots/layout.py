"""Units of a layered network, and the pairs of them that an edge may join.

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
    """Layers of units, the input first and the classes last."""

    widths: tuple[int, ...]
    """Units per layer."""

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First unit of each layer, followed by the total number of units."""
        return (0, *accumulate(self.widths))

    @property
    def units(self) -> int:
        """Total number of units."""
        return self.starts[-1]

    @property
    def inputs(self) -> int:
        """Number of input units."""
        return self.widths[0]

    @property
    def output(self) -> int:
        """Number of the last layer."""
        return len(self.widths) - 1

    @property
    def possible(self) -> int:
        """Number of possible edges between adjacent layers, of which densities are fractions."""
        return sum(before * after for before, after in pairwise(self.widths))

    @cached_property
    def layer_of(self) -> Tensor:
        """Layer of each unit, int64 ``[units]``."""
        return torch.repeat_interleave(torch.arange(len(self.widths)), torch.tensor(self.widths))

    def layer(self, number: int) -> slice:
        """Return the units of a layer."""
        return slice(self.starts[number], self.starts[number + 1])

    def biases(self, bias: Tensor) -> list[Tensor]:
        """Split biases ``[..., units - inputs]`` into those of each layer after the input."""
        ends = [start - self.inputs for start in self.starts]
        return [bias[..., ends[number] : ends[number + 1]] for number in range(1, len(self.widths))]

    def edges_at(self, density: float) -> int:
        """Return the number of edges that a density allows: that fraction of those possible, rounded down."""
        return int(density * self.possible)

    def allows(self, source: int, target: int) -> bool:
        """Return True if the edge joins two different layers and does not end in the input."""
        return target >= self.inputs and bool(self.layer_of[source] != self.layer_of[target])
