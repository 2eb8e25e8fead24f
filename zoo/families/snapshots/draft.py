"""The edges of a growth event while it is being made. What counts as grown is what was added here, nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.families.snapshots.layout import Layout


class Draft:
    """The network's edges and the new ones; refuses an edge that cannot be or is there already."""

    def __init__(self, layout: Layout, source: Tensor, target: Tensor, weight: Tensor, room: int) -> None:
        """``source``, ``target``, ``weight`` ``[edges]`` are the edges there are; ``room`` is for how many more."""
        self.layout = layout
        self.room = room
        self.connected = torch.zeros(layout.units, layout.units, dtype=torch.bool)
        """``[source, target]``, new edges included."""
        self.connected[source, target] = True
        self.incoming = torch.zeros(layout.units, dtype=torch.int64)
        """New routed edges into each unit (rule 9)."""
        self.weights = dict(zip(zip(source.tolist(), target.tolist(), strict=True), weight.tolist(), strict=True))
        self._old = len(self.weights)

    def add(self, source: int, target: int, weight: float) -> bool:
        """Add an edge; whether it was realised: there is room, it may be, and it is new."""
        if self.full or not self.layout.allows(source, target) or self.connected[source, target]:
            return False
        self.connected[source, target] = True
        self.weights[source, target] = weight
        return True

    @property
    def full(self) -> bool:
        return self.grown >= self.room

    @property
    def grown(self) -> int:
        """How many edges were added."""
        return len(self.weights) - self._old

    def new_edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and weight of the added edges, in their order."""
        added = list(self.weights.items())[self._old :]
        pairs = torch.tensor([pair for pair, _ in added], dtype=torch.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1], torch.tensor([weight for _, weight in added])

    def inward(self, unit: int) -> list[int]:
        """The sources of a unit's edges."""
        return self.connected[:, unit].nonzero().flatten().tolist()

    def outward(self, unit: int) -> list[int]:
        """The targets of a unit's edges."""
        return self.connected[unit].nonzero().flatten().tolist()

    def fed(self) -> Tensor:
        """Which units the input reaches over forward edges, bool ``[units]``."""
        reached = torch.zeros(self.layout.units, dtype=torch.bool)
        reached[self.layout.layer(0)] = True
        for number in range(1, self.layout.output + 1):
            units = self.layout.layer(number)
            reached[units] = (self.connected[: units.start, units] & reached[: units.start, None]).any(0)
        return reached

    def heard(self) -> Tensor:
        """Which units reach a class over forward edges, bool ``[units]``."""
        reaching = torch.zeros(self.layout.units, dtype=torch.bool)
        reaching[self.layout.layer(self.layout.output)] = True
        for number in range(self.layout.output - 1, -1, -1):
            units = self.layout.layer(number)
            reaching[units] = (self.connected[units, units.stop :] & reaching[units.stop :]).any(1)
        return reaching
