"""The ``train:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from zoo.config.base import CountOrFraction, Decay, Fraction, NonNegative, Positive, Section


class _OptimizerConfig(Section):
    lr: Positive
    """Peak learning rate, which the schedule multiplies."""
    weight_decay: NonNegative = 0
    """Applies to all parameters alike."""


class SgdConfig(_OptimizerConfig):
    """torch's SGD."""

    name: Literal["sgd"]
    momentum: Decay = 0
    nesterov: bool = False

    @model_validator(mode="after")
    def _check(self) -> SgdConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamConfig(_OptimizerConfig):
    """torch's Adam."""

    name: Literal["adam"]
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdamWConfig(_OptimizerConfig):
    """torch's AdamW."""

    name: Literal["adamw"]
    weight_decay: NonNegative = 0.01
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    eps: Positive = 1e-8


class AdadeltaConfig(_OptimizerConfig):
    """torch's Adadelta."""

    name: Literal["adadelta"]
    lr: Positive = 1.0
    rho: Decay = 0.9
    eps: Positive = 1e-6


OptimizerConfig = Annotated[SgdConfig | AdamConfig | AdamWConfig | AdadeltaConfig, Field(discriminator="name")]


class ConstantConfig(Section):
    """A linear warm-up, then the peak learning rate to the end."""

    name: Literal["constant"]
    warmup: CountOrFraction = 0
    """Optimizer steps of the warm-up, or their fraction of all steps."""


class CosineConfig(Section):
    """A linear warm-up, then half a cosine down to ``final`` times the peak."""

    name: Literal["cosine"]
    warmup: CountOrFraction = 0
    """Optimizer steps of the warm-up, or their fraction of all steps."""
    final: Fraction = 0
    """Learning rate of the last step, as a fraction of the peak."""


class OneCycleConfig(Section):
    """A rise from ``initial`` times the peak, then a fall to ``final`` times the peak, each along half a cosine."""

    name: Literal["one_cycle"]
    warmup: CountOrFraction = 0.3
    """Optimizer steps of the rise, or their fraction of all steps."""
    initial: float = Field(default=0.04, gt=0, le=1)
    """Learning rate of the first step, as a fraction of the peak."""
    final: Fraction = 4e-6
    """Learning rate of the last step, as a fraction of the peak."""
    cycle_momentum: bool = False
    """Lower the momentum (or beta1) from 0.95 to 0.85 while the learning rate rises, and raise it again afterwards."""


ScheduleConfig = Annotated[ConstantConfig | CosineConfig | OneCycleConfig, Field(discriminator="name")]


class TrainConfig(Section):
    """The length of training, its batches, optimizer and schedule, and how often it reports."""

    epochs: PositiveInt | None = None
    """Passes over the training samples; exclusive with ``steps``."""
    steps: PositiveInt | None = None
    """Optimizer steps; exclusive with ``epochs``."""
    batch_size: PositiveInt
    """Samples per optimizer step, over all processes together."""
    eval_batch_size: PositiveInt = 256
    optimizer: OptimizerConfig
    schedule: ScheduleConfig = ConstantConfig(name="constant")
    clip_norm: Positive | None = None
    """Largest allowed norm of all gradients together."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a running average of the weights, which is then validated, tested and exported in their place."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: NonNegativeInt = 0
    """Seed of the initial weights, the order of the samples and their augmentation."""
    log_every: PositiveInt = 50
    """Optimizer steps between two lines of the metrics log."""
    checkpoint_every: PositiveInt | None = None
    """Optimizer steps between validations, each of which saves a checkpoint; null: one epoch."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.epochs is None and self.steps is None:
            raise ValueError("epochs or steps is missing: one of the two is required")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs {self.epochs} and steps {self.steps} exclude each other: set one of them to null")
        if isinstance(self.schedule, OneCycleConfig) and self.schedule.cycle_momentum and not self._has_momentum():
            raise ValueError(
                f"schedule.cycle_momentum needs an optimizer with momentum, and {self.optimizer.name} has none here"
            )
        return self

    def _has_momentum(self) -> bool:
        optimizer = self.optimizer
        return isinstance(optimizer, AdamConfig | AdamWConfig) or (
            isinstance(optimizer, SgdConfig) and optimizer.momentum > 0
        )
