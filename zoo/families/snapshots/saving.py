"""Rule 8: when a snapshot is taken, and which are kept."""

from __future__ import annotations

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.deltas import Snapshot


def worth_saving(config: SnapshotsConfig, epoch: int, accuracy: float, last: Snapshot | None, grows: bool) -> bool:
    """Whether the network after ``epoch`` should be saved: it grows, it gained accuracy, or a phase ends."""
    gained = accuracy > (last.accuracy if last else 0.0) + config.snapshot_gain
    return grows or gained or any(epoch == phase.until for phase in config.phases)


def keep(snapshots: list[Snapshot], config: SnapshotsConfig) -> list[Snapshot]:
    """The last snapshots of each phase, as many as it keeps, oldest first."""
    kept: list[Snapshot] = []
    for number, phase in enumerate(config.phases):
        kept += [snapshot for snapshot in snapshots if snapshot.phase == number][-phase.snapshots :]
    return kept
