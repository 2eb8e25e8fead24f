"""Multi-scale snapshots: a network that starts with almost no edges, grows, and answers as an ensemble of its past.

Source: the public structure_net repository (Ethycs/structure_net).
"""

from zoo.families.base import Family
from zoo.families.snapshots.config import SnapshotsConfig

FAMILY = Family(
    name="snapshots",
    config=SnapshotsConfig,
    build="zoo.families.snapshots.model:SnapshotNet",
    learner="zoo.families.snapshots.learner:SnapshotsLearner",
    train={"epochs": 150},
    train_reason="the last of the default phases ends in epoch 150",
    distributed=False,
    grows=True,
    take="zoo.families.snapshots.taking:take",
    freeze="zoo.families.snapshots.taking:freeze",
    onnx_graph="zoo.families.snapshots.onnx:onnx_graph",
    probe="zoo.families.snapshots.probe:probe",
    members="zoo.families.snapshots.members:members",
    bench="zoo.families.snapshots.bench:bench",
    about="""A multi-scale snapshots network starts with a ten-thousandth of the edges that its layers could have. While
it learns, spikes in the variance of its gradient earn credits, and credits buy growth: edges from heavily used units to
little used ones, in a coarse, a medium and a fine phase. Snapshots saved during training answer together as a weighted
ensemble, or as a cascade from coarse to fine that stops at the first confident answer. The idea is that of
[Ethycs/structure_net](https://github.com/Ethycs/structure_net) (2025); the code is our own.
""",
)
