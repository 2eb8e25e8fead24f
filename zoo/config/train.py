"""The ``train:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from zoo.config.base import CountOrFraction, Decay, Fraction, NonNegative, Positive, Section

# --- train ---


class _OptimizerConfig(Section):
    lr: Positive
    """The peak learning rate: the schedule's multipliers apply to it."""
    weight_decay: NonNegative = 0
    """On all parameters alike."""


class SgdConfig(_OptimizerConfig):
    name: Literal["sgd"]
    momentum: Decay = 0
    nesterov: bool = False

    @model_validator(mode="after")
    def _check(self) -> SgdConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamConfig(_OptimizerConfig):
    name: Literal["adam"]
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdamWConfig(_OptimizerConfig):
    name: Literal["adamw"]
    weight_decay: NonNegative = 0.01
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdadeltaConfig(_OptimizerConfig):
    name: Literal["adadelta"]
    lr: Positive = 1.0
    rho: Decay = 0.9
    eps: Positive = 1e-6


OptimizerConfig = Annotated[SgdConfig | AdamConfig | AdamWConfig | AdadeltaConfig, Field(discriminator="name")]


class ConstantConfig(Section):
    """The peak learning rate throughout, after a linear warm-up."""

    name: Literal["constant"]
    warmup: CountOrFraction = 0
    """Steps, or a fraction of all steps."""


class CosineConfig(Section):
    """A linear warm-up, then half a cosine down to ``final`` times the peak."""

    name: Literal["cosine"]
    warmup: CountOrFraction = 0
    """Steps, or a fraction of all steps."""
    final: Fraction = 0


class OneCycleConfig(Section):
    """From ``initial`` times the peak up to it, then down to ``final`` times it, both along half a cosine."""

    name: Literal["one_cycle"]
    warmup: CountOrFraction = 0.3
    """Steps of the way up, or their fraction of all steps."""
    initial: float = Field(default=0.04, gt=0, le=1)
    final: Fraction = 4e-6
    cycle_momentum: bool = False
    """Momentum (or beta1) from 0.95 down to 0.85 and back, against the learning rate."""


ScheduleConfig = Annotated[ConstantConfig | CosineConfig | OneCycleConfig, Field(discriminator="name")]


class TrainConfig(Section):
    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    """How long to train: one of the two."""
    batch_size: PositiveInt
    """Samples per optimizer step, over all processes together."""
    eval_batch_size: PositiveInt = 256
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ConstantConfig(name="constant")
    clip_norm: Positive | None = None
    """Largest norm of all gradients together."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the running average of the weights, which is then what is validated, tested and exported."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: NonNegativeInt = 0
    """Of the initial weights, the order of samples and their augmentation."""
    log_every: PositiveInt = 50
    """Steps between two lines of the metrics log."""
    checkpoint_every: PositiveInt | None = None
    """Steps between two validations with checkpoint; null: one epoch."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.epochs is None and self.steps is None:
            raise ValueError("epochs or steps is missing: one of the two is required")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs {self.epochs} and steps {self.steps} exclude each other: set one of them to null")
        if isinstance(self.schedule, OneCycleConfig) and self.schedule.cycle_momentum and not self._has_momentum():
            raise ValueError(f"schedule.cycle_momentum needs momentum, which {self.optimizer.name} does not have here")
        return self

    def _has_momentum(self) -> bool:
        optimizer = self.optimizer
        return isinstance(optimizer, AdamConfig | AdamWConfig) or (
            isinstance(optimizer, SgdConfig) and optimizer.momentum > 0
        )
