"""The draft of a growth event: the edges that it adds to the network. These alone count as grown."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.families.snapshots.layout import Layout


class Draft:
    """The network's edges plus new ones; refuses edges that are not allowed or already exist."""

    def __init__(self, layout: Layout, source: Tensor, target: Tensor, weight: Tensor, room: int) -> None:
        """Start from existing edges ``source``, ``target``, ``weight`` ``[edges]``; at most ``room`` are added."""
        self.layout = layout
        self.room = room
        self.connected = torch.zeros(layout.units, layout.units, dtype=torch.bool)
        """bool ``[source, target]``, new edges included."""
        self.connected[source, target] = True
        self.incoming = torch.zeros(layout.units, dtype=torch.int64)
        """Number of new routed edges into each unit (rule 9), int64 ``[units]``."""
        self.weights = dict(zip(zip(source.tolist(), target.tolist(), strict=True), weight.tolist(), strict=True))
        self._old = len(self.weights)

    def add(self, source: int, target: int, weight: float) -> bool:
        """Add an edge; return False if the draft is full, or if the edge is not allowed or already exists."""
        if self.full or not self.layout.allows(source, target) or self.connected[source, target]:
            return False
        self.connected[source, target] = True
        self.weights[source, target] = weight
        return True

    @property
    def full(self) -> bool:
        """True if no further edge fits."""
        return self.grown >= self.room

    @property
    def grown(self) -> int:
        """Number of edges added."""
        return len(self.weights) - self._old

    def new_edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return source, target and weight of the added edges in order."""
        added = list(self.weights.items())[self._old :]
        pairs = torch.tensor([pair for pair, _ in added], dtype=torch.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1], torch.tensor([weight for _, weight in added])

    def inward(self, unit: int) -> list[int]:
        """Return the sources of the edges into a unit."""
        return self.connected[:, unit].nonzero().flatten().tolist()

    def outward(self, unit: int) -> list[int]:
        """Return the targets of the edges out of a unit."""
        return self.connected[unit].nonzero().flatten().tolist()

    def reaches_output(self) -> Tensor:
        """Return bool ``[units]``: True for units that reach a class over forward edges."""
        reaching = torch.zeros(self.layout.units, dtype=torch.bool)
        reaching[self.layout.layer(self.layout.output)] = True
        for number in range(self.layout.output - 1, -1, -1):
            units = self.layout.layer(number)
            reaching[units] = (self.connected[units, units.stop :] & reaching[units.stop :]).any(1)
        return reaching
