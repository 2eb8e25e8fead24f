"""The ``model:`` section of a recipe: one small section per rule. Defaults are the original's numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from zoo.config.base import NonNegativeInt, PositiveInt, Section
from zoo.families.base import FamilyConfig

Share = Annotated[float, Field(ge=0, le=1)]
Width = Annotated[int, Field(ge=1, le=8192)]


class StartConfig(Section):
    """Rule 1: the edges before any training."""

    density: float = Field(default=1e-4, gt=0, le=1)
    """Share of the possible edges between adjacent layers; at least one edge per layer."""
    connected: bool = True
    """Lay the edges on paths from the input to the classes, or anywhere (false)."""


class TriggerConfig(Section):
    """Rule 2: a spike is a change in the variance of the gradient's norm."""

    every: Literal["epoch"] | PositiveInt = "epoch"
    """Period of a sample, which is the mean norm over an epoch or over this many steps."""
    window: int = Field(default=10, ge=2)
    """Samples on either side of the comparison."""
    change: float = Field(default=0.5, gt=0)
    """Relative change above which it is a spike."""


class ExtremaConfig(Section):
    """Rule 3: the thresholds for high and low units."""

    high: Share = 0.95
    """A unit whose mean activation (tanh: its magnitude) is above this is high. ReLU units have no threshold."""
    low: Share = 0.05
    """A unit whose mean activation (tanh: its magnitude) is below this is low. For ReLU units, ``dead`` applies."""
    dead: Share = 0.9
    """A ReLU unit that is zero more often than this is low."""
    share: float = Field(default=0.05, ge=0, le=0.5)
    """Share of a layer's units, at the top or bottom, to take when a threshold finds none."""
    at_least: float = Field(default=0, ge=0, le=0.5)
    """Share of a layer's units, at the top and bottom, to take in any case."""
    batches: PositiveInt = 4
    """Number of batches, the last of an epoch, over which activity is measured."""
    ends: Literal["extreme", "all"] = "extreme"
    """Input and output layers: like the others, or (all) every input that varies is high and every class is low."""


class RoutingConfig(Section):
    """Rules 4, 9 and 11: edges from high to low units of layers ahead."""

    reach: PositiveInt = 3
    """Largest number of layers from a source ahead to its target."""
    fan_out: tuple[PositiveInt, PositiveInt] = (3, 4)
    """Fewest and most edges from one high unit."""
    incoming: PositiveInt = 5
    """Most new edges into one low unit per growth event."""
    incoming_classes: PositiveInt | None = None
    """Most new edges into one class (null: as for the others); every hidden feature has to pass through these units."""
    scale: float = Field(default=0.1, gt=0)
    """Standard deviation of new weights, which are normal."""
    reciprocal: Share = 0.2
    """Probability of an edge back, which reads the previous sweep."""
    choice: Literal["random", "gradient"] = "random"
    """Choice among the extrema: any, or the pairs whose missing edge has the largest gradient."""
    complete: bool = False
    """Also lay the edges that put a new edge on a path from an input to a class."""
    once: bool = False
    """Let a high unit route its edges at most once per growth event."""
    scales: bool = False
    """Prefer long edges in the first phase and short ones in the last."""

    @model_validator(mode="after")
    def _check(self) -> RoutingConfig:
        if self.fan_out[0] > self.fan_out[1]:
            raise ValueError(f"fan_out {list(self.fan_out)} should be a lower and an upper bound")
        return self


class CloningConfig(Section):
    """Rule 5: an extremum's edges are copied to a unit of an adjacent layer."""

    layers: Literal["none", "next", "both"] = "both"
    """Adjacent layers that get a clone: none, the next, or the next and the previous."""
    scale: float = Field(default=0.7, gt=0)
    """Factor of the copied weights."""


class EconomyConfig(Section):
    """Rule 6: spikes earn credits, growth spends them."""

    reward: PositiveInt = 10
    """Credits per spike."""
    price: PositiveInt = 100
    """Credits at which the network grows; growth spends all of them."""
    pause: bool = False
    """Earn nothing while the last growth settles (rule 10), as the original does."""

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # This key was added after the first models shipped, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        return {key: value for key, value in values.items() if key != "pause" or value}


class PhaseConfig(Section):
    """Rules 7 and 11: a range of epochs with its own limits."""

    name: str = Field(pattern=r"[a-z]+", examples=["coarse"])
    """The name of the phase, in lower-case letters; unique."""
    until: PositiveInt = Field(examples=[50])
    """The phase's last epoch, after that of the phase before."""
    structures: NonNegativeInt = Field(examples=[10])
    """Most structures that may grow in the phase."""
    snapshots: PositiveInt = Field(examples=[2])
    """Number of the phase's snapshots to retain, the last ones."""
    grow_until: PositiveInt | None = None
    """Last epoch after which the network may grow in the phase, whose rest trains the edges (null: the last but one of
    the phase)."""
    prune_until: PositiveInt | None = None
    """Last epoch after which the smallest weights are pruned, once the phase has grown (null: none are)."""
    edges: PositiveInt | None = None
    """Most edges that pruning leaves, at ``prune_until``."""

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # These keys were added after the first models shipped, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        later = ("grow_until", "prune_until", "edges")
        return {key: value for key, value in values.items() if key not in later or value is not None}

    @model_validator(mode="after")
    def _check(self) -> PhaseConfig:
        pruning = (self.prune_until, self.edges)
        if pruning != (None, None) and None in (self.grow_until, *pruning):
            raise ValueError(f"{self.name}: grow_until, prune_until and edges belong together, found only some of them")
        if self.grow_until and self.prune_until and not self.grow_until < self.prune_until < self.until:
            raise ValueError(
                f"{self.name}: prune_until {self.prune_until} should lie between grow_until, {self.grow_until}, and "
                f"the phase's last epoch, {self.until}"
            )
        if self.grow_until is not None and self.grow_until >= self.until:
            raise ValueError(
                f"{self.name}: grow_until {self.grow_until} should come before the phase's last epoch, {self.until}"
            )
        return self


class StructureConfig(Section):
    """Rule 7: the unit in which the limits count."""

    unit: Literal["site", "connection"] = "site"
    """The unit of a phase's ``structures``: sites of growth, or connections."""
    size: PositiveInt = 1
    """High units that form one site."""
    rotate: Literal["layers", "units"] = "layers"
    """Sites start in each source layer in turn, or at random in proportion to the layers' high units."""


class EndConfig(Section):
    """Rule 12: epochs without extrema, or without a gain in validation accuracy, after which training ends."""

    no_extrema: PositiveInt = 50
    """Epochs without extrema after which training ends."""
    no_gain: PositiveInt = 30
    """Epochs without a gain after which training ends."""
    gain: Share = 0.001
    """Smallest rise of validation accuracy that counts as a gain."""


_PHASES = (
    PhaseConfig(name="coarse", until=50, structures=10, snapshots=2),
    PhaseConfig(name="medium", until=100, structures=50, snapshots=3),
    PhaseConfig(name="fine", until=150, structures=200, snapshots=3),
)


class SnapshotsConfig(FamilyConfig):
    """The network, and the rules by which it grows."""

    family: Literal["snapshots"] = "snapshots"
    """The family's name."""
    hidden: tuple[Width, ...] = Field(default=(256, 128), min_length=1, max_length=8)
    """Units of the hidden layers."""
    activation: Literal["tanh", "sigmoid", "relu"] = "tanh"
    """Activation of the hidden units."""
    sweeps: int = Field(default=2, ge=1, le=8)
    """Number of times that the layers are computed if edges lead back; those read the previous sweep."""
    max_density: float = Field(default=0.05, gt=0, le=1)
    """Most edges that can ever exist, as a share of those possible between adjacent layers."""
    start: StartConfig = StartConfig()
    """Rule 1: the first edges."""
    trigger: TriggerConfig = TriggerConfig()
    """Rule 2: spikes of the gradient."""
    extrema: ExtremaConfig = ExtremaConfig()
    """Rule 3: high and low units."""
    routing: RoutingConfig = RoutingConfig()
    """Rules 4, 9 and 11: new edges."""
    cloning: CloningConfig = CloningConfig()
    """Rule 5: copies of edges."""
    economy: EconomyConfig = EconomyConfig()
    """Rule 6: credits."""
    structure: StructureConfig = StructureConfig()
    """Rule 7: the unit of growth."""
    phases: tuple[PhaseConfig, ...] = Field(default=_PHASES, min_length=1, max_length=8)
    """Rules 7 and 11: ranges of epochs, coarse to fine, in order."""
    stabilisation: NonNegativeInt = 10
    """Rule 10: epochs without growth after growth."""
    snapshot_gain: Share = 0.02
    """Rule 8: gain in validation accuracy over the last snapshot that is worth another snapshot."""
    end: EndConfig = EndConfig()
    """Rule 12: the end of training."""
    mixture_temperature: float = Field(default=1, ge=1)
    """Rule 13: the fitted weights are raised to the power of 1 / this; 1: the likeliest mixture."""
    progressive: Literal["last", "mixture"] = "last"
    """Rule 13: the cascade runs the last snapshot of each phase, each answering alone; or (mixture) also every snapshot
    that has a weight, and answers with the mixture of those run so far."""
    progressive_loss: Share = 0.001
    """Rule 13: validation accuracy that the cascade may lose against the weighted ensemble."""

    @model_validator(mode="after")
    def _check(self) -> SnapshotsConfig:
        for before, after in pairwise(self.phases):
            if after.until <= before.until:
                raise ValueError(
                    f"phases: {after.name} ends in epoch {after.until}, should end after {before.name} "
                    f"(epoch {before.until})"
                )
            if after.grow_until is not None and after.grow_until < before.until:
                raise ValueError(
                    f"phases: {after.name} grows until epoch {after.grow_until}, but starts after epoch {before.until}"
                )
        if self.sweeps > 1 and any(phase.edges for phase in self.phases):
            raise ValueError(f"phases: pruning needs a network of one sweep, found sweeps {self.sweeps}; set it to 1")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases: found names {names}, each should be unique")
        if self.phases[-1].until > 100_000:
            raise ValueError(f"phases: the last ends in epoch {self.phases[-1].until}, at most 100000 is allowed")
        count = sum(phase.snapshots for phase in self.phases)
        if count > 64:
            raise ValueError(f"phases: {count} snapshots in all, at most 64 are allowed")
        if self.routing.reciprocal and self.sweeps < 2:
            raise ValueError("sweeps 1 never reads reciprocal edges; set routing.reciprocal to 0 or sweeps to 2")
        if self.start.density > self.max_density:
            raise ValueError(f"start.density {self.start.density} exceeds max_density {self.max_density}")
        return self

    @property
    def max_events(self) -> int:
        """Largest possible number of growth events: one per epoch, or one per stabilisation."""
        return self.phases[-1].until // max(1, self.stabilisation) + 1
