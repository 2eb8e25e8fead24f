"""CellNet: cells with a core each, wired by small MLPs, that learn to predict their own gradient step.

Source: the public CellNet repository's README; docs/families/cellnet.md lists what is taken from it and what is ours.
"""

from zoo.families.base import Family
from zoo.families.cellnet.config import CellnetConfig

FAMILY = Family(
    name="cellnet",
    config=CellnetConfig,
    build="zoo.families.cellnet.model:Cellnet",
    learner="zoo.families.cellnet.learner:CellnetLearner",
    onnx_graph="zoo.families.cellnet.onnx:onnx_graph",
    probe="zoo.families.cellnet.probe:probe",
    bench="zoo.families.cellnet.bench:bench",
    about="""A CellNet is a handful of cells. Each has a core, a vector of numbers that starts as ones, and a small
MLP leads from each cell to each other (or to those that a topology names). In every step all cells at once add to
their cores what the MLPs make of the others'; the first cells also add a linear map of the input, the last read logits
from theirs.

It is trained over time: after each step the gradient says where the cores should have gone (C2), and loss (a) asks the
next step to make that move, beside loss (b), the task's. From the public CellNet repository, which trains one sample at
a time with all cells connected; batches, sparse topologies, cores of different sizes and gradients through several
steps are ours.
""",
)
