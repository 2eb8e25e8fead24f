"""The ``model:`` section of a Meta-NCA recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from zoo.config.options import Change, HiddenActivation, Pooling
from zoo.families.base import FamilyConfig

Start = Literal["zero", "xavier"]
Positions = Literal["none", "index", "units"]
Senses = Literal["none", "activations", "teaching"]


class TasksConfig(BaseModel):
    """Bounds of the generated tasks; every task draws its own number of features and classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[PositiveInt, PositiveInt] = (2, 12)
    classes: tuple[int, int] = (2, 6)
    examples: PositiveInt = 64
    """What a network is shown."""
    queries: PositiveInt = 64
    """What it is judged by: other samples of the same task."""
    spread: tuple[float, float] = Field(default=(0.5, 3.0))
    """Bounds of the distance between classes, in units of their own width."""

    @model_validator(mode="after")
    def _check(self) -> TasksConfig:
        for key, (low, high), least in (
            ("features", self.features, 1),
            ("classes", self.classes, 2),
            ("spread", self.spread, 0),
        ):
            if not least <= low <= high:
                raise ValueError(f"{key} [{low}, {high}] should be a lower and an upper bound, at least {least}")
        return self


class RuleConfig(BaseModel):
    """The local rule: a small MLP from what a weight perceives to the change of its state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: tuple[PositiveInt, ...] = (10, 10)
    activation: HiddenActivation = "silu"
    layer_norm: bool = False
    """Normalise every perception before the MLP."""
    change: Change = "tanh"
    """What follows the MLP's last layer; the original's sigmoid lets weights only grow."""
    scale: float = Field(default=0.5, gt=0)
    """Times this: with tanh or sigmoid the largest change of an epoch."""
    pooling: Pooling = "mean"
    """How the neighbours' states are put together."""
    senses: Senses = "none"
    """What is perceived of the data: nothing, activations, or these and a teaching signal."""
    positions: Positions = "index"
    """Hidden states start as binary codes: of the layer and the weight's index in it, of the layer and the two units
    that the weight connects, or of nothing."""
    memory: NonNegativeInt = 0
    """Hidden states that start at zero."""


class MetaConfig(BaseModel):
    """How the rule is trained: each step evolves a population of task networks and judges what became of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    population: PositiveInt = 8
    layers: tuple[PositiveInt, ...] = (1,)
    """One of these is drawn for each network."""
    hidden: tuple[PositiveInt, ...] = (10,)
    """And one of these for the width of its hidden layers."""
    grow_steps: NonNegativeInt = 0
    """Training steps over which the number of epochs grows from 1 to ``epochs``."""
    judgements: PositiveInt = 1
    """At how many epochs the loss is taken: evenly over the second half, the last among them."""
    segments: PositiveInt = 1
    """How often the same networks evolve on, with an optimizer step after each time."""
    damage: float = Field(default=0.0, ge=0, lt=1)
    """Up to which share of the weights is deleted between two segments, drawn for each network."""
    alive: float = Field(default=0.0, ge=0)
    """Weight of a penalty on hidden units of the task networks that fall silent; narrow networks die without it."""
    tasks: TasksConfig | None = None
    """Train on generated tasks; null: on the recipe's data."""


class NcaConfig(FamilyConfig):
    family: Literal["nca"] = "nca"
    layers: PositiveInt = 1
    """Layers of weights of the task network that is exported."""
    hidden: PositiveInt = 10
    """Width of its hidden layers."""
    bias: bool = False
    """Task networks have one more input, always 1."""
    standardize: bool = False
    """Inputs are centred and scaled by the statistics of the examples that a network is shown."""
    start: Start = "xavier"
    epochs: PositiveInt = 20
    """How often the rule is applied."""
    fraction: float = Field(default=0.8, gt=0, le=1)
    """A weight's probability to change in an epoch."""
    seed: NonNegativeInt = 0
    """Of the exported network's start and evolution."""
    rule: RuleConfig = RuleConfig()
    meta: MetaConfig = MetaConfig()

    @model_validator(mode="after")
    def _check(self) -> NcaConfig:
        if self.meta.tasks is not None and self.rule.senses != "teaching":
            raise ValueError(f"meta.tasks needs rule.senses: teaching, found {self.rule.senses}")
        if self.meta.tasks is not None and not self.standardize:
            raise ValueError("meta.tasks needs standardize: true, as generated tasks are standardised")
        if self.meta.damage and self.meta.segments < 2:
            raise ValueError(f"meta.damage {self.meta.damage:g} needs meta.segments of at least 2, found 1")
        return self
