"""Rule 8: storage of snapshots."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.families.snapshots.store import Snapshot, SnapshotStore

_FLOATS = st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0]))


def snapshot(values: list[float], edges: int = 1, epoch: int = 1, phase: int = 0) -> Snapshot:
    return Snapshot(torch.tensor(values, dtype=torch.float32), edges, epoch, phase, 0.5)


def bits(values: torch.Tensor) -> list[bytes]:
    return [struct.pack("<f", value) for value in values.tolist()]


@settings(deadline=None)
@given(st.lists(st.lists(_FLOATS, min_size=6, max_size=6), min_size=1, max_size=4))
def test_snapshots_are_kept_bit_for_bit(rows: list[list[float]]) -> None:
    store = SnapshotStore(4, 6)
    saved = [snapshot(row, edges=i + 1) for i, row in enumerate(rows)]
    store.replace(saved)
    assert len(store) == len(saved)
    for number, original in enumerate(saved):
        assert bits(store[number].values) == bits(original.values)
        assert store[number][1:] == original[1:]


def test_the_store_takes_no_more_room_than_the_snapshots_and_their_facts() -> None:
    store = SnapshotStore(3, 4)
    assert sum(tensor.numel() for tensor in store.state_dict().values()) == 3 * 4 + 3 * 4


def test_replacing_discards_the_old_snapshots() -> None:
    store = SnapshotStore(3, 2)
    store.replace([snapshot([1, 2]), snapshot([3, 4]), snapshot([5, 6])])
    store.replace([snapshot([7, 8])])
    assert len(store) == 1
    assert not store.values[1:].any()


def test_more_snapshots_than_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="snapshots: found 3, the store holds at most 2"):
        SnapshotStore(2, 1).replace([snapshot([1])] * 3)


def test_a_snapshot_that_does_not_exist_is_refused() -> None:
    store = SnapshotStore(2, 1)
    store.replace([snapshot([1])])
    for number in (-1, 1):
        with pytest.raises(IndexError, match=f"snapshot {number} does not exist, the store holds 1"):
            store[number]


def test_a_store_can_hold_a_single_snapshot() -> None:
    store = SnapshotStore(1, 2)
    store.replace([snapshot([1, 2])])
    assert store[0].values.tolist() == [1, 2]
