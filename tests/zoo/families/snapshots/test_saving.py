"""Rule 8: saving and retaining snapshots."""

from __future__ import annotations

import pytest
import torch

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.saving import retain, worth_saving
from zoo.families.snapshots.store import Snapshot

CONFIG = SnapshotsConfig()


def snapshot(epoch: int, phase: int = 0, accuracy: float = 0.5) -> Snapshot:
    return Snapshot(torch.zeros(1), 1, epoch, phase, accuracy)


@pytest.mark.parametrize(
    ("epoch", "accuracy", "grows", "worth"),
    [
        (7, 0.5, True, True),
        (7, 0.521, False, True),
        (7, 0.519, False, False),
        (50, 0.1, False, True),
        (100, 0.1, False, True),
        (150, 0.1, False, True),
        (51, 0.1, False, False),
    ],
)
def test_snapshots_are_saved_at_growth_at_a_gain_of_two_points_and_at_phase_ends(
    epoch: int, accuracy: float, grows: bool, worth: bool
) -> None:
    assert worth_saving(CONFIG, epoch, accuracy, snapshot(1), grows) is worth


@pytest.mark.parametrize(("epoch", "grows", "worth"), [(7, True, False), (12, False, False), (20, True, True)])
def test_a_phase_that_prunes_is_saved_at_its_end_alone(epoch: int, grows: bool, worth: bool) -> None:
    phase = {"name": "a", "until": 20, "structures": 9, "snapshots": 1, "grow_until": 8, "prune_until": 15, "edges": 5}
    config = SnapshotsConfig.model_validate({"phases": [phase], "sweeps": 1, "routing": {"reciprocal": 0}})
    assert worth_saving(config, epoch, 0.9, None, grows) is worth


def test_the_first_gain_is_measured_from_zero() -> None:
    assert worth_saving(CONFIG, 1, 0.1, None, grows=False)


def test_the_last_snapshots_of_each_phase_are_retained_at_most_eight_in_all() -> None:
    saved = [snapshot(epoch, phase) for phase in range(3) for epoch in range(10 * phase, 10 * phase + 5)]
    assert [s.epoch for s in retain(saved, CONFIG)] == [3, 4, 12, 13, 14, 22, 23, 24]


def test_all_snapshots_are_retained_below_the_limits() -> None:
    saved = [snapshot(1), snapshot(2), snapshot(60, 1)]
    assert retain(saved, CONFIG) == saved
