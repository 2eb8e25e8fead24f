"""The ``model:`` section of a normnet recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from zoo.config.base import PositiveInt, Section, Size
from zoo.families.base import FamilyConfig

Kind = Literal["norm", "linear", "plain"]
"""``tan(W) / n``; ``W / n``; ``W`` with a bias."""
Activation = Literal["tanh", "sigmoid", "relu"]
View = Literal["sequence", "rows", "volume"]


@dataclass(frozen=True)
class LayerSettings:
    """Settings that all layers of a network share."""

    kind: Kind = "norm"
    activation: Activation = "tanh"
    scale: float = 1.0
    """Multiplies the activation, so that outputs can exceed 1."""
    sigma: float = 1.0
    """Standard deviation of the initial weights; plain layers are initialised like torch's linear layers."""
    clamp: float | None = None
    """Bound of a norm layer's ``|W|``. Below pi/2, no weight reaches a pole of the tangent."""

    def __post_init__(self) -> None:
        for value, choices, name in ((self.kind, Kind, "kind"), (self.activation, Activation, "activation")):
            if value not in get_args(choices):
                raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(get_args(choices))}")
        if self.clamp is not None and not 0 < self.clamp < math.pi / 2:
            raise ValueError(f"clamp: found {self.clamp}, expected a bound above 0 and below pi/2, a pole of tan")


class ConvolutionConfig(Section):
    """A norm convolution over all spatial axes of the input, then max pooling over ``pool`` positions of each axis."""

    channels: PositiveInt = Field(examples=[24])
    """Output channels."""
    size: Size = 3
    """Length of the kernel along every axis."""
    stride: Size = 1
    """Step of the kernel along every axis, in positions."""
    padding: int = Field(default=0, ge=0, le=1024)
    """Zeros added at both ends of every axis."""
    pool: Size = 1
    """Window and stride of the pooling; 1: none."""
    scale: float = Field(default=1.0, gt=0)
    """Multiplies the activation."""

    @model_validator(mode="after")
    def _check(self) -> ConvolutionConfig:
        if self.padding > self.size:
            raise ValueError(f"padding {self.padding} should not exceed the kernel's size {self.size}")
        return self


class TreeConfig(Section):
    """Restarts from a tree of checkpoints: on a plateau, training continues from one that the tree's search picks.

    The tree observes the validation error. Do not combine it with a running average of the weights (``train.ema``),
    which would mix weights from before and after a restart.
    """

    window: PositiveInt = 1
    """Number of validations whose mean error decides on a checkpoint."""
    patience: PositiveInt = 3
    """Number of windows without a checkpoint before a restart."""
    pressure: float = Field(default=0.5, ge=0, le=1)
    """0 picks every checkpoint with the same probability, 1 always picks the best."""
    keep: PositiveInt = 8
    """Number of checkpoints that can be picked: the newest, and the best of the others."""


class NormnetConfig(FamilyConfig):
    """The layers of a normnet, and its training."""

    family: Literal["normnet"] = "normnet"
    """The family's name."""
    layer: Kind = "norm"
    """Kind of every layer; linear and plain are the controls."""
    view: View | None = None
    """The form in which convolutions see an input: features as a sequence with one channel (1-D); the rows of an image
    as a sequence, whose channels are the pixels of a row (1-D); the channels of an image as the depth of a volume
    (3-D); null: images as they are (2-D)."""
    convolutions: tuple[ConvolutionConfig, ...] = Field(default=(), max_length=64)
    """Convolutions before the fully connected layers."""
    hidden: tuple[PositiveInt, ...] = Field(default=(256, 256), max_length=1000)
    """Units of the fully connected layers before the output."""
    residual: bool = False
    """Hidden layers that are as wide as their input are residual norm layers."""
    activation: Activation = "tanh"
    """Activation of every layer, the output included."""
    scale: float = Field(default=10.0, gt=0)
    """Scale of the output layer."""
    hidden_scale: float = Field(default=10.0, gt=0)
    """Scale of the hidden fully connected layers."""
    sigma: float = Field(default=1.0, gt=0)
    """Standard deviation of the initial weights."""
    clamp: float | None = Field(default=1.5, gt=0, lt=math.pi / 2)
    """Bound of ``|W|`` in norm layers, which they keep themselves; null: none, and weights cross the poles of tan."""
    loss: Literal["cross_entropy", "power"] = "cross_entropy"
    """Softmax cross-entropy, or ``|y - t|^p``."""
    power: float = Field(default=2.0, ge=1)
    """The p of ``|y - t|^p``, where t is 1 for the class and 0 for the others."""
    tree: TreeConfig | None = None
    """A schedule of restarts; null: none."""

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The key was added after the first models shipped, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        return {key: value for key, value in values.items() if key != "view" or value is not None}

    @model_validator(mode="after")
    def _check(self) -> NormnetConfig:
        if self.view is not None and not self.convolutions:
            raise ValueError(f"view {self.view} is for convolutions, found none; leave view out")
        if self.residual and self.layer == "plain":
            raise ValueError("residual is not defined for plain layers; set it to false or layer to norm or linear")
        return self

    def settings(self, scale: float) -> LayerSettings:
        """Return the settings of a layer with this scale."""
        return LayerSettings(self.layer, self.activation, scale, self.sigma, self.clamp)
