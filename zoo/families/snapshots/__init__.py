"""Multi-scale snapshots: a network that starts with almost no edges, grows, and answers as an ensemble of its past.

Source: the public structure_net repository (Ethycs/structure_net).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.families.snapshots import last_of_phases
from zoo.families import Family
from zoo.families.base import Findings, ProbeContext, Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.learner import SnapshotsLearner
from zoo.families.snapshots.network import Member, SnapshotNet

if TYPE_CHECKING:
    import onnx


def _onnx_graph(module: SnapshotNet | Member, task: Task) -> onnx.ModelProto:
    from zoo.families.snapshots.onnx_form import onnx_graph  # onnx is slow to import and needed to export only

    return onnx_graph(module, task)


def _probe(context: ProbeContext) -> Findings:
    from zoo.families.snapshots.probe import probe  # matplotlib is slow to import and needed to probe only

    return probe(context)


def _members(module: SnapshotNet) -> dict[str, Member]:
    """The last snapshot of each phase by the phase's name, and every one by its number."""
    count = len(module.snapshots)
    phases = [module.config.phases[module.snapshots[number].phase].name for number in range(count)]
    named = {phases[number]: number for number in last_of_phases(phases)}
    return {name: Member(module, number) for name, number in (named | {str(n): n for n in range(count)}).items()}


def _bench() -> list[dict[str, Any]]:
    from zoo.families.snapshots.bench import bench

    return bench()


_ABOUT = """A multi-scale snapshots network starts with a ten-thousandth of the edges that its layers could have. While
it learns, spikes of its gradient's variance earn credits; credits buy growth: edges from units that are much used to
units that are little used, in a coarse, a medium and a fine phase. Snapshots of the way are kept, and together they
answer as a weighted ensemble, or one after the other from coarse to fine until one is sure. The idea is that of
structure_net (Ethycs, 2025); the code is our own.
"""

FAMILY = Family(
    name="snapshots",
    config=SnapshotsConfig,
    build=SnapshotNet,
    learner=SnapshotsLearner,
    onnx_graph=_onnx_graph,
    about=_ABOUT,
    probe=_probe,
    members=_members,
    bench=_bench,
)
