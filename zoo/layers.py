"""Layers of all families, for networks and training loops of your own.

>>> from torch import nn
>>> from zoo.layers import NormLinear
>>> net = nn.Sequential(NormLinear(13, 32), NormLinear(32, 3))

Each layer keeps its own invariants, trains with any optimizer, and works in ``nn.Sequential``. ``zoo.save`` writes the
finished network as a model that ``sdk.load`` opens. docs/guides/own-loop.md shows a whole program.
"""

from __future__ import annotations

from zoo.families.cellnet.cells import Cell, CellNetwork, InCell, OutCell
from zoo.families.cellnet.layers import CellBlock
from zoo.families.cellnet.stream import CellStream
from zoo.families.gridnet.layers import GridnetLayer
from zoo.families.nca.layers import GrownClassifier
from zoo.families.normnet.layers import NormConv, NormLinear, ResidualNormLinear
from zoo.families.snapshots.growing import GrowingNetwork
from zoo.families.snapshots.layers import SparseLinear

__all__ = [
    "Cell",
    "CellBlock",
    "CellNetwork",
    "CellStream",
    "GridnetLayer",
    "GrowingNetwork",
    "GrownClassifier",
    "InCell",
    "NormConv",
    "NormLinear",
    "OutCell",
    "ResidualNormLinear",
    "SparseLinear",
]
