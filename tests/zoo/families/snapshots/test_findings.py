"""Findings of a training in the artifact's metrics."""

from __future__ import annotations

import json
from pathlib import Path

from zoo.training.result import TrainResult


def test_a_training_grows_and_reports_its_snapshots(result: TrainResult, exported: Path) -> None:
    assert result.findings["growth"]
    metrics = json.loads((exported / "config.json").read_text())["metrics"]
    assert metrics["snapshots"] == result.findings["snapshots"]
    assert metrics["growth"][-1]["edges"] == metrics["snapshots"][-1]["edges"]
    assert {entry["phase"] for entry in metrics["snapshots"]} == {"coarse", "fine"}
