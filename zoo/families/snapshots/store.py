"""Rule 8: storage of snapshots.

A snapshot is a flat vector of ``entries`` floats: the weights in the order in which edges were laid, then the biases.
Nearly all of them change between two snapshots, so that differences would take more room than the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdk.snapshots_deltas import without_deltas


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

    values: Tensor
    facts: Tensor
    accuracy: Tensor

    def __init__(self, capacity: int, entries: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.register_buffer("values", torch.zeros(capacity, entries))
        self.register_buffer("facts", torch.zeros(capacity, 3, dtype=torch.int32))
        self.register_buffer("accuracy", torch.zeros(capacity))

    def __len__(self) -> int:
        """Return the number of snapshots: the rows with edges."""
        return int((self.facts[:, 0] > 0).sum())

    def __getitem__(self, number: int) -> Snapshot:
        """Return a copy of a snapshot; raises IndexError for a number beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"snapshot {number} does not exist, the store holds {len(self)}")
        edges, epoch, phase = self.facts[number].tolist()
        return Snapshot(self.values[number].clone(), edges, epoch, phase, float(self.accuracy[number]))

    def replace(self, snapshots: list[Snapshot]) -> None:
        """Replace the contents by these snapshots. Raises ValueError for more than fit."""
        if len(snapshots) > self.capacity:
            raise ValueError(f"snapshots: found {len(snapshots)}, the store holds at most {self.capacity}")
        for buffer in self.buffers():
            buffer.zero_()
        for number, snapshot in enumerate(snapshots):
            self.facts[number] = torch.tensor([snapshot.edges, snapshot.epoch, snapshot.phase])
            self.accuracy[number] = snapshot.accuracy
            self.values[number] = snapshot.values

    def check(self, edges: int, phases: int) -> None:
        """Raise ValueError unless the buffers hold snapshots of a network of ``edges`` edges and ``phases`` phases."""
        count, facts = len(self), self.facts.tolist()
        for number, (laid, epoch, phase) in enumerate(facts):
            good = 1 <= laid <= edges and epoch >= 0 and 0 <= phase < phases
            if not (good if number < count else laid == epoch == phase == 0):
                raise ValueError(
                    f"snapshots.facts: found {facts[number]} in row {number} of {count}, the network has {edges} edges"
                )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load also a state of the older form; raises ValueError for one whose differences do not fit."""
        if f"{prefix}base" in state_dict:
            names = [name for name in state_dict if name.startswith(prefix)]
            state_dict |= _without_deltas({name.removeprefix(prefix): state_dict.pop(name) for name in names}, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _without_deltas(older: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    arrays = without_deltas({f"snapshots.{name}": tensor.numpy(force=True) for name, tensor in older.items()})
    return {f"{prefix}{name.removeprefix('snapshots.')}": torch.from_numpy(array) for name, array in arrays.items()}
