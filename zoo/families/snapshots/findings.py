"""Findings of a training for the artifact's metrics: snapshots, ensemble and growth as plain JSON values."""

from __future__ import annotations

from typing import Any

from zoo.families.snapshots.model import SnapshotNet


def training_findings(net: SnapshotNet) -> dict[str, Any]:
    """Return ``snapshots`` (a list, oldest first), ``progressive_threshold`` and ``growth`` (a list of events)."""
    phases = net.config.phases
    saved = [net.snapshots[number] for number in range(len(net.snapshots))]
    return {
        "snapshots": [
            {
                "phase": phases[snapshot.phase].name,
                "epoch": snapshot.epoch,
                "edges": net.cost_of(number)[0],
                "cost": net.cost_of(number)[1],
                "weight": round(float(net.mixture[number]), 6),
                "validation_accuracy": round(snapshot.accuracy, 6),
            }
            for number, snapshot in enumerate(saved)
        ],
        "progressive_threshold": round(float(net.threshold), 6),
        "growth": [
            {"epoch": epoch, "structures": structures, "edges": edges} for epoch, structures, edges in net.growth
        ],
    }
