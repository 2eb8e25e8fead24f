"""CellNet: cells that exchange their cores through small MLPs and learn to predict their own gradient step.

Source: the README of the public CellNet repository (DawidLipin/CellNet). docs/families/cellnet.md separates the
original's ideas from ours.
"""

from zoo.families.base import Family
from zoo.families.cellnet.config import CellnetConfig

FAMILY = Family(
    name="cellnet",
    config=CellnetConfig,
    build="zoo.families.cellnet.model:Cellnet",
    learner="zoo.families.cellnet.learner:CellnetLearner",
    ends="zoo.families.cellnet.model:ends",
    onnx_graph="zoo.families.cellnet.onnx:onnx_graph",
    probe="zoo.families.cellnet.probe:probe",
    bench="zoo.families.cellnet.bench:bench",
    about="""A CellNet is a handful of cells. Each cell has a core, a vector of numbers that starts as ones. A small MLP
leads from each cell to every other cell, or to those that a topology names. In every step, all cells at once add the
outputs of the MLPs that lead to them to their cores. The first cells also add a linear map of the input; the last cells
give the logits.

A CellNet is trained over time. After each step, the gradient says where the cores should have gone (C2). Loss (a) asks
the next step to make that move; loss (b) is the task's. The idea is that of
[DawidLipin/CellNet](https://github.com/DawidLipin/CellNet), which trains one sample at a time with all cells
connected. Batches, sparse topologies, cores of different sizes and gradients through several steps are ours.
""",
)
