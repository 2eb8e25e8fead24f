"""The ``model:`` section of a Meta-NCA recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from zoo.config.base import Iterations, NonNegativeInt, PositiveInt, Section
from zoo.config.options import Change, HiddenActivation, Pooling
from zoo.families.base import FamilyConfig

Start = Literal["zero", "xavier"]
Positions = Literal["none", "index", "units"]
Senses = Literal["none", "activations", "sums", "teaching"]


class TasksConfig(Section):
    """Bounds of the generated tasks; every task draws its own number of features and classes."""

    features: tuple[PositiveInt, PositiveInt] = (2, 12)
    """Fewest and most features of a task."""
    classes: tuple[int, int] = (2, 6)
    """Fewest and most classes of a task; at least 2."""
    examples: PositiveInt = 64
    """Size of the support set, from which a network learns."""
    queries: PositiveInt = 64
    """Size of the query set, on which the loss is taken: other samples of the same task."""
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


class RuleConfig(Section):
    """The local rule: a small MLP from a weight's perceptions to the change of its state."""

    hidden: tuple[PositiveInt, ...] = Field(default=(10, 10), max_length=64)
    """Widths of the MLP's hidden layers."""
    activation: HiddenActivation = "silu"
    """Activation between the layers of the MLP."""
    layer_norm: bool = False
    """Normalise every perception before the MLP."""
    change: Change = "tanh"
    """Activation after the MLP's last layer; the original's sigmoid lets weights only grow."""
    scale: float = Field(default=0.5, gt=0)
    """Factor of the change: with tanh or sigmoid, the largest change of an epoch."""
    pooling: Pooling = "mean"
    """Reduction over the neighbours' states."""
    senses: Senses = "none"
    """Signals perceived from the data: none; activations of the units at either end; their sums before the activation
    (sums), as in the original's code; or activations and a teaching signal."""
    positions: Positions = "index"
    """Hidden states start as binary codes of the layer and the weight's index in it (index), of the layer and the two
    units that the weight connects (units), or of nothing (none)."""
    memory: NonNegativeInt = 0
    """Number of hidden states that start at zero."""


class MetaConfig(Section):
    """Meta-training: each step evolves a population of task networks and takes the loss of the result."""

    population: PositiveInt = 8
    """Task networks per training step."""
    layers: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(default=(1,), min_length=1, max_length=64)
    """Depths; each network draws one."""
    hidden: tuple[PositiveInt, ...] = Field(default=(10,), min_length=1, max_length=64)
    """Widths of the hidden layers; each network draws one."""
    grow_steps: NonNegativeInt = 0
    """Training steps over which the number of epochs grows from 1 to ``epochs``."""
    judgements: Iterations = 1
    """Number of epochs at which the loss is taken: evenly over the second half, the last included."""
    segments: PositiveInt = 1
    """Evolutions of the same networks in a row, with an optimizer step after each."""
    damage: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of the weights deleted between two segments; each network draws its own share."""
    alive: float = Field(default=0.0, ge=0)
    """Weight of a penalty on hidden units of the task networks that fall silent; narrow networks die without it."""
    tasks: TasksConfig | None = None
    """Train on generated tasks; null: on the recipe's data. Needs ``rule.senses: teaching`` and ``standardize``."""


class NcaConfig(FamilyConfig):
    """The rule, its meta-training, and the task network that is exported."""

    family: Literal["nca"] = "nca"
    """The family's name."""
    layers: int = Field(default=1, ge=1, le=1000)
    """Layers of weights of the exported task network."""
    hidden: PositiveInt = 10
    """Width of its hidden layers."""
    bias: bool = False
    """Task networks have one more input, always 1."""
    standardize: bool = False
    """Centre and scale inputs by the statistics of a network's support set."""
    start: Start = "xavier"
    """Initial weights of task networks."""
    epochs: Iterations = 20
    """Applications of the rule in an evolution."""
    fraction: float = Field(default=0.8, gt=0, le=1)
    """Probability that a weight changes in an epoch."""
    seed: NonNegativeInt = 0
    """Seed of the exported network's start and evolution."""
    rule: RuleConfig = RuleConfig()
    """The local rule."""
    meta: MetaConfig = MetaConfig()
    """The meta-training of the rule."""

    @model_validator(mode="after")
    def _check(self) -> NcaConfig:
        if self.meta.tasks is not None and self.rule.senses != "teaching":
            raise ValueError(f"meta.tasks needs rule.senses: teaching, found {self.rule.senses}")
        if self.meta.tasks is not None and not self.standardize:
            raise ValueError("meta.tasks needs standardize: true, as generated tasks are standardised")
        if self.meta.damage and self.meta.segments < 2:
            raise ValueError(f"meta.damage {self.meta.damage:g} needs meta.segments of at least 2, found 1")
        return self


def other_data(model: Mapping[str, Any]) -> str | None:
    """Return the data of meta-training on generated tasks, in words; None for a rule trained on the recipe's data."""
    meta = model.get("meta")
    return "generated tasks" if isinstance(meta, Mapping) and meta.get("tasks") is not None else None
