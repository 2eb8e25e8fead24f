"""The ``model:`` section of a CellNet's recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

from zoo.families.base import FamilyConfig
from zoo.families.cellnet.topology import Edge, FullTopology, Topology, arrival_steps, edges_of


class StemConfig(BaseModel):
    """Convolutions in front of the InCells: 3x3 without padding, 2x2 max-pooling and ReLU for each of ``channels``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[PositiveInt, ...] = Field(default=(32, 64), min_length=1)
    dropout: float = Field(default=0.25, ge=0, lt=1)
    """Of the features that the InCells are fed."""


class CellnetConfig(FamilyConfig):
    family: Literal["cellnet"] = "cellnet"
    cells: int = Field(ge=2, le=256)
    in_cells: PositiveInt = 2
    """The first so many cells take the input."""
    out_cells: PositiveInt = 1
    """The last so many cells give logits; the mean of theirs is the network's."""
    core: PositiveInt | tuple[PositiveInt, ...] = 128
    """Floats in a core: one size for all cells, or one for each."""
    hidden: PositiveInt = 64
    """Width of the MLPs of connections and outputs."""
    topology: Topology = FullTopology()
    stem: StemConfig | None = None
    steps: PositiveInt = 4
    """Time steps of a sequence in training."""
    input_steps: PositiveInt = 2
    """The input is given in the first so many steps; in the others the network goes on without. A prediction that names
    no number of steps ends with the last of them, which is the last that the task was trained on."""
    truncate: PositiveInt = 1
    """Gradients go back through windows of so many steps, with one optimizer step for each window."""
    core_lr: float = Field(default=1.0, gt=0)
    """The eta of C2 = C1 - eta dL/dC1, where L is the loss of one sample in one step."""
    loss_a: NonNegativeFloat = 1.0
    """Weight of loss (a), the prediction of C2; 0 trains the task alone."""
    loss_growth: NonNegativeFloat = 0.0
    """The alpha of a weight (1 + alpha)^t on the losses of step t (from 0), which stays as it is after ten steps."""

    @property
    def cores(self) -> tuple[int, ...]:
        """The size of each cell's core."""
        return self.core if isinstance(self.core, tuple) else (self.core,) * self.cells

    @property
    def edges(self) -> list[Edge]:
        return edges_of(self.topology, self.cells)

    @model_validator(mode="after")
    def _check(self) -> CellnetConfig:
        if self.in_cells + self.out_cells > self.cells:
            raise ValueError(
                f"in_cells {self.in_cells} and out_cells {self.out_cells} together exceed the {self.cells} cells"
            )
        if len(self.cores) != self.cells:
            raise ValueError(f"core lists {len(self.cores)} sizes, there are {self.cells} cells")
        if self.input_steps > self.steps:
            raise ValueError(f"input_steps {self.input_steps} must not exceed the {self.steps} steps")
        if self.truncate > self.steps:
            raise ValueError(f"truncate {self.truncate} must not exceed the {self.steps} steps")
        first_out = self.cells - self.out_cells
        arrivals = arrival_steps(self.edges, self.cells, self.in_cells)[first_out:]
        for cell, arrival in enumerate(arrivals, first_out):
            if arrival is None:
                raise ValueError(f"topology leads from no InCell to OutCell {cell}")
            if arrival > self.input_steps:
                raise ValueError(
                    f"input_steps {self.input_steps} end before the input reaches OutCell {cell}, in step {arrival}"
                )
        return self
