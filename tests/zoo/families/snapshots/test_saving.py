"""Rule 8: when snapshots are taken and which are kept."""

from __future__ import annotations

import pytest
import torch

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.deltas import Snapshot
from zoo.families.snapshots.saving import keep, worth_saving

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
def test_growth_two_points_of_accuracy_and_phase_ends_are_saved(
    epoch: int, accuracy: float, grows: bool, worth: bool
) -> None:
    assert worth_saving(CONFIG, epoch, accuracy, snapshot(1), grows) is worth


def test_the_first_gain_is_over_nothing() -> None:
    assert worth_saving(CONFIG, 1, 0.1, None, grows=False)


def test_the_last_of_each_phase_are_kept_at_most_eight_in_all() -> None:
    saved = [snapshot(epoch, phase) for phase in range(3) for epoch in range(10 * phase, 10 * phase + 5)]
    assert [s.epoch for s in keep(saved, CONFIG)] == [3, 4, 12, 13, 14, 22, 23, 24]


def test_few_snapshots_are_all_kept() -> None:
    saved = [snapshot(1), snapshot(2), snapshot(60, 1)]
    assert keep(saved, CONFIG) == saved
