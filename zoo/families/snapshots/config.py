"""The ``model:`` section of a recipe: one small section per rule. Defaults are the original's numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from zoo.families.base import FamilyConfig

Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=8192)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartConfig(_Section):
    """Rule 1: the edges that are there before any training."""

    density: float = Field(default=1e-4, gt=0, le=1)
    """Of the possible edges between adjacent layers; at least one edge per layer."""
    connected: bool = True
    """Lay the edges on paths from the input to the classes, or anywhere (false)."""


class TriggerConfig(_Section):
    """Rule 2: a spike is a change of the variance of the gradient's norm."""

    every: Literal["epoch"] | PositiveInt = "epoch"
    """A sample is the mean norm over an epoch, or over so many steps."""
    window: int = Field(default=10, ge=2)
    """Samples on either side of the comparison."""
    change: float = Field(default=0.5, gt=0)
    """The relative change above which it is a spike."""


class ExtremaConfig(_Section):
    """Rule 3: which units are high, which are low."""

    high: Share = 0.95
    low: Share = 0.05
    dead: Share = 0.9
    """A ReLU unit that is zero more often than this is low."""
    share: float = Field(default=0.05, ge=0, le=0.5)
    """Where a threshold finds no unit of a layer, this share of its units at the top or bottom."""
    at_least: float = Field(default=0, ge=0, le=0.5)
    """This share at the top and bottom is taken in any case."""
    batches: PositiveInt = 4
    """The last batches of an epoch, over which activity is measured."""
    ends: Literal["extreme", "all"] = "extreme"
    """The input and output layers: judged as the others, or (all) every input that varies is high, every class low."""


class RoutingConfig(_Section):
    """Rules 4, 9 and 11: edges from high to low units of layers ahead."""

    reach: PositiveInt = 3
    """How many layers ahead a target may lie."""
    fan_out: tuple[PositiveInt, PositiveInt] = (3, 4)
    """The fewest and the most edges from one high unit."""
    incoming: PositiveInt = 5
    """The most new edges into one low unit per growth event."""
    incoming_classes: PositiveInt | None = None
    """The same for a class (null: as for the others); every hidden feature has to pass through these few units."""
    scale: float = Field(default=0.1, gt=0)
    """New weights are this times a standard normal number."""
    reciprocal: Share = 0.2
    """Probability of an edge back; it reads the previous sweep."""
    choice: Literal["random", "gradient"] = "random"
    """Among the extrema: any, or those whose missing edge has the largest gradient."""
    complete: bool = False
    """Lay the edges that a new edge lacks to be on a path from an input to a class."""
    once: bool = False
    """A high unit routes its edges at most once per growth event."""
    scales: bool = False
    """The first phase prefers long edges, the last one short ones."""

    @model_validator(mode="after")
    def _check(self) -> RoutingConfig:
        if self.fan_out[0] > self.fan_out[1]:
            raise ValueError(f"fan_out {list(self.fan_out)} should be a lower and an upper bound")
        return self


class CloningConfig(_Section):
    """Rule 5: an extremum's edges are copied to a unit of an adjacent layer."""

    layers: Literal["none", "next", "both"] = "both"
    """Adjacent layers that get a clone: none, the next, or the one before as well."""
    scale: float = Field(default=0.7, gt=0)


class EconomyConfig(_Section):
    """Rule 6."""

    reward: PositiveInt = 10
    """Credits per spike."""
    price: PositiveInt = 100
    """Credits at which the network grows; all are spent."""


class PhaseConfig(_Section):
    """Rules 7 and 11: a range of epochs, how much may grow in it, how many of its snapshots are kept."""

    name: str = Field(pattern=r"[a-z]+")
    until: PositiveInt
    """The phase's last epoch."""
    structures: NonNegativeInt
    snapshots: PositiveInt


class StructureConfig(_Section):
    """Rule 7: what the limits count."""

    unit: Literal["site", "connection"] = "site"
    size: PositiveInt = 1
    """High units that make one site together."""
    rotate: Literal["layers", "units"] = "layers"
    """Sites start in each source layer in turn, or by chance in proportion to the layers' high units."""


class EndConfig(_Section):
    """Rule 12: epochs without extrema, and without a gain in validation accuracy, after which training ends."""

    no_extrema: PositiveInt = 50
    no_gain: PositiveInt = 30
    gain: Share = 0.001


_PHASES = (
    PhaseConfig(name="coarse", until=50, structures=10, snapshots=2),
    PhaseConfig(name="medium", until=100, structures=50, snapshots=3),
    PhaseConfig(name="fine", until=150, structures=200, snapshots=3),
)


class SnapshotsConfig(FamilyConfig):
    family: Literal["snapshots"] = "snapshots"
    hidden: tuple[Width, ...] = Field(default=(256, 128), min_length=1, max_length=8)
    activation: Literal["tanh", "sigmoid", "relu"] = "tanh"
    sweeps: int = Field(default=2, ge=1, le=8)
    """How often the layers are computed when there are reciprocal edges, which read the sweep before."""
    max_density: float = Field(default=0.05, gt=0, le=1)
    """The most edges there can ever be, of those possible between adjacent layers."""
    start: StartConfig = StartConfig()
    trigger: TriggerConfig = TriggerConfig()
    extrema: ExtremaConfig = ExtremaConfig()
    routing: RoutingConfig = RoutingConfig()
    cloning: CloningConfig = CloningConfig()
    economy: EconomyConfig = EconomyConfig()
    structure: StructureConfig = StructureConfig()
    phases: tuple[PhaseConfig, ...] = Field(default=_PHASES, min_length=1, max_length=8)
    stabilisation: NonNegativeInt = 10
    """Rule 10: epochs without growth after growth."""
    snapshot_gain: Share = 0.02
    """Rule 8: validation accuracy above the last snapshot's that is worth a snapshot of its own."""
    end: EndConfig = EndConfig()
    mixture_temperature: float = Field(default=1, ge=1)
    """Rule 13: the fitted weights are taken to the power of 1 / this; 1: the likeliest mixture."""
    progressive: Literal["last", "mixture"] = "last"
    """Rule 13: ask the last snapshot of each phase, each answering alone, or (mixture) also every snapshot that has a
    weight, and answer with the mixture of those asked."""
    progressive_loss: Share = 0.001
    """Rule 13: validation accuracy that progressive answers may give up against the weighted ensemble."""

    @model_validator(mode="after")
    def _check(self) -> SnapshotsConfig:
        for before, after in pairwise(self.phases):
            if after.until <= before.until:
                raise ValueError(f"phases: {after.name} ends in epoch {after.until}, {before.name} in {before.until}")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases {names} should have names of their own")
        if self.phases[-1].until > 100_000:
            raise ValueError(f"phases: the last ends in epoch {self.phases[-1].until}, at most 100000 is allowed")
        if sum(phase.snapshots for phase in self.phases) > 64:
            raise ValueError("phases: at most 64 snapshots may be kept together")
        if self.routing.reciprocal and self.sweeps < 2:
            raise ValueError("sweeps 1 never reads reciprocal edges; set routing.reciprocal to 0 or sweeps to 2")
        if self.start.density > self.max_density:
            raise ValueError(f"start.density {self.start.density} exceeds max_density {self.max_density}")
        return self

    @property
    def max_events(self) -> int:
        """How many growth events there can be at most, one per epoch or per stabilisation."""
        return self.phases[-1].until // max(1, self.stabilisation) + 1
