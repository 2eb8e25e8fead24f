"""Multi-scale snapshots: a network that starts with almost no edges, grows, and answers as an ensemble of its past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.families import Family
from zoo.families.base import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.learner import SnapshotsLearner
from zoo.families.snapshots.network import Member, SnapshotNet

if TYPE_CHECKING:
    import onnx


def _onnx_graph(module: SnapshotNet | Member, task: Task) -> onnx.ModelProto:
    from zoo.families.snapshots.onnx_form import onnx_graph  # onnx is slow to import and needed to export only

    return onnx_graph(module, task)


_ABOUT = """A multi-scale snapshots network"""

FAMILY = Family(
    name="snapshots",
    config=SnapshotsConfig,
    build=SnapshotNet,
    learner=SnapshotsLearner,
    onnx_graph=_onnx_graph,
    about=_ABOUT,
)
