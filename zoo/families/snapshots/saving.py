"""Rule 8: the moments at which a snapshot is saved, and the snapshots that are retained."""

from __future__ import annotations

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.schedule import phase_at
from zoo.families.snapshots.store import Snapshot


def worth_saving(config: SnapshotsConfig, epoch: int, accuracy: float, last: Snapshot | None, grows: bool) -> bool:
    """Return True if the network after ``epoch`` should be saved: it grows, gained accuracy, or ends a phase.

    A phase that prunes is saved at its end alone: before, its edges are more than it is meant to have.
    """
    phase = config.phases[phase_at(config.phases, epoch)]
    if phase.edges is not None:
        return epoch == phase.until
    gained = accuracy > (last.accuracy if last else 0.0) + config.snapshot_gain
    return grows or gained or any(epoch == phase.until for phase in config.phases)


def retain(snapshots: list[Snapshot], config: SnapshotsConfig) -> list[Snapshot]:
    """Return the last snapshots of each phase, up to the phase's limit, oldest first."""
    retained: list[Snapshot] = []
    for number, phase in enumerate(config.phases):
        retained += [snapshot for snapshot in snapshots if snapshot.phase == number][-phase.snapshots :]
    return retained
