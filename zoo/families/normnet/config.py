"""The ``model:`` section of a normnet recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from zoo.families.base import FamilyConfig

Kind = Literal["norm", "linear", "plain"]
"""``tan(W) / n``; ``W / n``; ``W`` with a bias."""
Activation = Literal["tanh", "sigmoid", "relu"]


@dataclass(frozen=True)
class LayerSettings:
    """What all layers of a network share."""

    kind: Kind = "norm"
    activation: Activation = "tanh"
    scale: float = 1.0
    """Multiplies the activation, so that outputs can exceed 1."""
    sigma: float = 1.0
    """Standard deviation of the initial weights; plain layers start as torch's do."""
    clamp: float | None = None
    """Bound of a norm layer's ``|W|``; below pi/2 no weight is at or beyond a pole of the tangent."""

    def __post_init__(self) -> None:
        for value, choices, name in ((self.kind, Kind, "kind"), (self.activation, Activation, "activation")):
            if value not in get_args(choices):
                raise ValueError(f"{name} should be one of {', '.join(get_args(choices))}, found {value!r}")
        if self.clamp is not None and not 0 < self.clamp < math.pi / 2:
            raise ValueError(f"clamp {self.clamp} should be above 0 and below pi/2 = 1.5708, the first pole of tan")


class ConvolutionConfig(BaseModel):
    """One norm convolution over all spatial axes of the input, then max pooling over ``pool`` cells of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: PositiveInt
    size: PositiveInt = 3
    stride: PositiveInt = 1
    padding: NonNegativeInt = 0
    pool: PositiveInt = 1
    scale: float = Field(default=1.0, gt=0)


class TreeConfig(BaseModel):
    """Training with a tree of checkpoints: on a plateau it goes on from one that the tree's search picks.

    What is observed is the validation error. Not meant for a running average of the weights (``train.ema``), which
    would mix what lies before and behind a restart.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: PositiveInt = 1
    """Validations whose mean error decides on a checkpoint."""
    patience: PositiveInt = 3
    """Windows without one before a restart."""
    pressure: float = Field(default=0.5, ge=0, le=1)
    """0 picks any checkpoint alike, 1 always the best."""
    keep: PositiveInt = 8
    """How many of the last (and best) checkpoints can be picked."""


class NormnetConfig(FamilyConfig):
    family: Literal["normnet"] = "normnet"
    layer: Kind = "norm"
    convolutions: tuple[ConvolutionConfig, ...] = ()
    hidden: tuple[PositiveInt, ...] = (256, 256)
    """Units of the fully connected layers before the output."""
    residual: bool = False
    """Hidden layers as wide as what they read are residual norm layers."""
    activation: Activation = "tanh"
    """Of every layer, the output included."""
    scale: float = Field(default=10.0, gt=0)
    """Of the output."""
    hidden_scale: float = Field(default=10.0, gt=0)
    """Of the hidden fully connected layers."""
    sigma: float = Field(default=1.0, gt=0)
    clamp: float | None = Field(default=1.5, gt=0, lt=math.pi / 2)
    """Bound of ``|W|`` in norm layers, kept after every step; null: none, and weights cross the poles of tan."""
    loss: Literal["cross_entropy", "power"] = "cross_entropy"
    power: float = Field(default=2.0, ge=1)
    """p of the loss ``|y - t|^p``, t being 1 for the class and 0 for the others."""
    tree: TreeConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> NormnetConfig:
        if self.residual and self.layer == "plain":
            raise ValueError("residual is not defined for plain layers; set it to false or layer to norm or linear")
        return self

    def settings(self, scale: float) -> LayerSettings:
        return LayerSettings(self.layer, self.activation, scale, self.sigma, self.clamp)
