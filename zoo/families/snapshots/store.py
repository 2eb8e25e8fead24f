"""Rule 8: storage of snapshots as a base and, for each later one, the values that differ from the base.

A snapshot is a flat vector of ``entries`` floats: the weights in the order in which edges were laid, then the biases.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Snapshot(NamedTuple):
    """The network at one moment of its training."""

    values: Tensor
    """float32 ``[entries]``."""
    edges: int
    """Number of edges at that moment: the first ones laid."""
    epoch: int
    phase: int
    accuracy: float
    """Validation accuracy in [0, 1]."""


class SnapshotStore(nn.Module):
    """Up to ``capacity`` snapshots in buffers of fixed size, oldest first; unused entries are zero."""

    base: Tensor
    index: Tensor
    value: Tensor
    sizes: Tensor
    facts: Tensor
    accuracy: Tensor

    def __init__(self, capacity: int, entries: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.register_buffer("base", torch.zeros(entries))
        self.register_buffer("index", torch.zeros(capacity - 1, entries, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(capacity - 1, entries))
        self.register_buffer("sizes", torch.zeros(capacity - 1, dtype=torch.int32))
        self.register_buffer("facts", torch.zeros(capacity, 3, dtype=torch.int32))
        self.register_buffer("accuracy", torch.zeros(capacity))

    def __len__(self) -> int:
        """Return the number of snapshots: the rows with edges."""
        return int((self.facts[:, 0] > 0).sum())

    def __getitem__(self, number: int) -> Snapshot:
        """Reconstruct a snapshot bit for bit; raises IndexError for a number beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"snapshot {number} does not exist, the store holds {len(self)}")
        values = self.base.clone()
        if number > 0:
            size = int(self.sizes[number - 1])
            values[self.index[number - 1, :size].long()] = self.value[number - 1, :size]
        edges, epoch, phase = self.facts[number].tolist()
        return Snapshot(values, edges, epoch, phase, float(self.accuracy[number]))

    def replace(self, snapshots: list[Snapshot]) -> None:
        """Replace the contents by these snapshots; the first is the base. Raises ValueError for more than fit."""
        if len(snapshots) > self.capacity:
            raise ValueError(f"snapshots: found {len(snapshots)}, the store holds at most {self.capacity}")
        for buffer in self.buffers():
            buffer.zero_()
        for number, snapshot in enumerate(snapshots):
            self.facts[number] = torch.tensor([snapshot.edges, snapshot.epoch, snapshot.phase])
            self.accuracy[number] = snapshot.accuracy
            if number == 0:
                self.base.copy_(snapshot.values)
                continue
            index = differing(self.base, snapshot.values)
            self.sizes[number - 1] = len(index)
            self.index[number - 1, : len(index)] = index.int()
            self.value[number - 1, : len(index)] = snapshot.values[index]

    def check(self, edges: int, phases: int) -> None:
        """Raise ValueError unless the buffers hold snapshots of a network of ``edges`` edges and ``phases`` phases."""
        count, entries = len(self), len(self.base)
        facts = self.facts.tolist()
        for number, (laid, epoch, phase) in enumerate(facts):
            good = 1 <= laid <= edges and epoch >= 0 and 0 <= phase < phases
            if not (good if number < count else laid == epoch == phase == 0):
                raise ValueError(
                    f"snapshots.facts: found {facts[number]} in row {number} of {count}, the network has {edges} edges"
                )
        for number, size in enumerate(self.sizes.tolist()):
            if not 0 <= size <= entries:
                raise ValueError(f"snapshots.sizes: delta {number} has {size} values, allowed 0 to {entries}")
            used = self.index[number, :size]
            if bool(((used < 0) | (used >= entries)).any()):
                raise ValueError(f"snapshots.index: delta {number} refers to values outside 0 to {entries - 1}")


def differing(base: Tensor, values: Tensor) -> Tensor:
    """Return the int64 indices at which two float32 vectors differ in any bit, so that -0 differs from 0."""
    return (base.view(torch.int32) != values.view(torch.int32)).nonzero().flatten()
