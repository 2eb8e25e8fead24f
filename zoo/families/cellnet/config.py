"""The ``model:`` section of a CellNet's recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from zoo.config.base import Iterations, PositiveInt, Section
from zoo.families.base import FamilyConfig
from zoo.families.cellnet.topology import Edge, FullTopology, Topology, arrival_steps, edges_of


def _without(added: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Leave out keys at their defaults that were ``added`` after models shipped, whose recipes and hashes must stay."""
    return {key: value for key, value in values.items() if key not in added or value != added[key]}


class StemConfig(Section):
    """Layers before the InCells: per entry of ``channels`` a stage of 3x3 convolutions, each followed by a ReLU.

    2x2 max-pooling ends each stage, or the last one alone.
    """

    channels: tuple[PositiveInt, ...] = Field(default=(32, 64), min_length=1, max_length=16)
    """Output channels of each stage."""
    dropout: float = Field(default=0.25, ge=0, lt=1)
    """Dropout rate of the features that the InCells receive."""
    convolutions: PositiveInt | tuple[PositiveInt, ...] = 1
    """Convolutions in a stage: one number for all stages, or a list with one number per stage."""
    padding: int = Field(default=0, ge=0, le=1)
    """Zeros around the input of each convolution, in pixels; 1 keeps its height and width."""
    pool: Literal["each", "last"] = "each"
    """Stages that end with max-pooling: each, or the last alone, as in the original's example."""
    batch_norm: bool = False
    """Normalise the channels of each convolution over the batch. A prediction uses running averages of their means and
    variances; in training, each process normalises its own part of the batch."""

    @property
    def depths(self) -> tuple[int, ...]:
        """Number of convolutions in each stage."""
        each = self.convolutions
        return each if isinstance(each, tuple) else (each,) * len(self.channels)

    @property
    def pooled(self) -> tuple[bool, ...]:
        """The stages that end with max-pooling."""
        last = len(self.channels) - 1
        return tuple(self.pool == "each" or stage == last for stage in range(len(self.channels)))

    @model_validator(mode="after")
    def _check(self) -> StemConfig:
        if len(self.depths) != len(self.channels):
            raise ValueError(
                f"convolutions lists {len(self.depths)} numbers, expected one for each of the {len(self.channels)} "
                "stages in channels"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without({"convolutions": 1, "padding": 0, "pool": "each", "batch_norm": False}, serialize(self))


class CellnetConfig(FamilyConfig):
    """The cells and connections of a CellNet, and its training over time."""

    family: Literal["cellnet"] = "cellnet"
    """The family's name."""
    cells: int = Field(ge=2, le=256, examples=[5])
    """Number of cells, InCells and OutCells included."""
    in_cells: PositiveInt = Field(
        default_factory=lambda known: min(2, known.get("cells", 3) - 1),
        json_schema_extra={"default": "2, of 2 cells 1"},
    )
    """Number of InCells: the first cells, which receive the input."""
    out_cells: PositiveInt = 1
    """Number of OutCells: the last cells, whose mean logits are the network's."""
    core: PositiveInt | tuple[PositiveInt, ...] = 128
    """Floats in a core: one size for all cells, or a list with one size per cell."""
    hidden: PositiveInt = 64
    """Width of the hidden layers of the MLPs, those of connections and those of OutCells."""
    topology: Topology = FullTopology()
    """The connections between cells, by the topology's name."""
    stem: StemConfig | None = None
    """Convolutions between the input and the InCells; null: the InCells receive the flat input."""
    steps: Iterations = 4
    """Time steps of a training sequence."""
    input_steps: PositiveInt = Field(
        default_factory=lambda known: min(2, known.get("steps", 2)), json_schema_extra={"default": "2, at most steps"}
    )
    """Number of steps with input, from the first; the network runs the others without it. A prediction runs this many
    steps by default, because the task is trained on no later one."""
    truncate: PositiveInt = 1
    """Steps per window: gradients are truncated at its ends, and the optimizer takes one step for it. 1 is the
    original's and stays at chance with loss (a); ``steps`` trains well."""
    core_lr: float = Field(default=1.0, gt=0)
    """The eta of C2 = C1 - eta dL/dC1, where L is the loss of one sample in one step."""
    loss_a: NonNegativeFloat = 1.0
    """Weight of loss (a), the prediction of C2; 0 trains on the task alone."""
    loss_a_form: Literal["mean", "sum"] = "mean"
    """Loss (a) is the mean square over all numbers of all cells, or (sum) the original's sum of the cells' means."""
    loss_growth: NonNegativeFloat = 0.0
    """The alpha of the weight (1 + alpha)^t on the losses of step t (from 0), constant from step 10."""
    loss_growth_of: Literal["both", "a"] = "both"
    """The losses that ``loss_growth`` weights: both, or loss (a) alone, as in the original's code."""

    @property
    def cores(self) -> tuple[int, ...]:
        """Size of each cell's core."""
        return self.core if isinstance(self.core, tuple) else (self.core,) * self.cells

    @property
    def edges(self) -> list[Edge]:
        """Connections of the topology, ordered by target, then source."""
        return edges_of(self.topology, self.cells)

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without({"loss_a_form": "mean", "loss_growth_of": "both"}, serialize(self))

    @model_validator(mode="after")
    def _check(self) -> CellnetConfig:
        if self.in_cells + self.out_cells > self.cells:
            raise ValueError(
                f"in_cells {self.in_cells} and out_cells {self.out_cells} together exceed the {self.cells} cells"
            )
        if len(self.cores) != self.cells:
            raise ValueError(f"core lists {len(self.cores)} sizes, expected one for each of the {self.cells} cells")
        if self.input_steps > self.steps:
            raise ValueError(f"input_steps {self.input_steps} must not exceed the {self.steps} steps")
        if self.truncate > self.steps:
            raise ValueError(f"truncate {self.truncate} must not exceed the {self.steps} steps")
        first_out = self.cells - self.out_cells
        arrivals = arrival_steps(self.edges, self.cells, self.in_cells)[first_out:]
        for cell, arrival in enumerate(arrivals, first_out):
            if arrival is None:
                raise ValueError(f"topology has no path from an InCell to OutCell {cell}")
            if arrival > self.input_steps:
                raise ValueError(
                    f"input_steps {self.input_steps} must be at least {arrival}, the step in which the input reaches "
                    f"OutCell {cell}"
                )
        return self
