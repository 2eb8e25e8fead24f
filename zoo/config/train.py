"""The ``train:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from zoo.config.base import (
    CountOrFraction,
    Decay,
    Fraction,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Section,
)

DEFAULT_EPOCHS = 10


class _OptimizerConfig(Section):
    lr: Positive = Field(examples=[0.1])
    """Peak learning rate, which the schedule multiplies."""
    weight_decay: NonNegative = 0
    """Strength of weight decay, applied to all parameters alike."""


class SgdConfig(_OptimizerConfig):
    """torch's SGD."""

    name: Literal["sgd"]
    """The name of the optimizer."""
    momentum: Decay = 0
    """Share of the previous update in the next one."""
    nesterov: bool = False
    """Use Nesterov's momentum; needs ``momentum`` above 0."""

    @model_validator(mode="after")
    def _check(self) -> SgdConfig:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamConfig(_OptimizerConfig):
    """torch's Adam."""

    name: Literal["adam"]
    """The name of the optimizer."""
    lr: Positive = 1e-3
    """Peak learning rate, which the schedule multiplies."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decays of the running averages of the gradient and of its square."""
    eps: Positive = 1e-8
    """Added to the denominator."""


class AdamWConfig(_OptimizerConfig):
    """torch's AdamW."""

    name: Literal["adamw"]
    """The name of the optimizer."""
    lr: Positive = 1e-3
    """Peak learning rate, which the schedule multiplies."""
    weight_decay: NonNegative = 0.01
    """Strength of weight decay, apart from the gradient, applied to all parameters alike."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decays of the running averages of the gradient and of its square."""
    eps: Positive = 1e-8
    """Added to the denominator."""


class AdadeltaConfig(_OptimizerConfig):
    """torch's Adadelta."""

    name: Literal["adadelta"]
    """The name of the optimizer."""
    lr: Positive = 1.0
    """Peak learning rate, which the schedule multiplies."""
    rho: Decay = 0.9
    """Decay of the running averages of squared gradients and squared updates."""
    eps: Positive = 1e-6
    """Added to both averages."""


OptimizerConfig = Annotated[SgdConfig | AdamConfig | AdamWConfig | AdadeltaConfig, Field(discriminator="name")]


class ConstantConfig(Section):
    """A linear warm-up, then the peak learning rate to the end."""

    name: Literal["constant"]
    """The name of the schedule."""
    warmup: CountOrFraction = 0
    """Training steps of the warm-up, or their fraction of all steps."""


class CosineConfig(Section):
    """A linear warm-up, then half a cosine down to ``final`` times the peak."""

    name: Literal["cosine"]
    """The name of the schedule."""
    warmup: CountOrFraction = 0
    """Training steps of the warm-up, or their fraction of all steps."""
    final: Fraction = 0
    """Learning rate of the last step, as a fraction of the peak."""


class OneCycleConfig(Section):
    """A rise from ``initial`` times the peak, then a fall to ``final`` times the peak, each along half a cosine."""

    name: Literal["one_cycle"]
    """The name of the schedule."""
    warmup: CountOrFraction = 0.3
    """Training steps of the rise, or their fraction of all steps."""
    initial: float = Field(default=0.04, gt=0, le=1)
    """Learning rate of the first step, as a fraction of the peak."""
    final: Fraction = 4e-6
    """Learning rate of the last step, as a fraction of the peak."""
    cycle_momentum: bool = False
    """Lower the momentum (or beta1) from 0.95 to 0.85 while the learning rate rises, and raise it again afterwards."""


class RestartsConfig(Section):
    """Several cycles, each a linear rise to the peak, then half a cosine down to ``final`` times the peak."""

    name: Literal["restarts"]
    """The name of the schedule."""
    ends: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(min_length=1, examples=[[0.25, 0.5, 1]])
    """Ends of the cycles, as fractions of all steps, ascending; the last is 1."""
    warmup: Fraction = 0.1
    """Fraction of each cycle's steps in which the rate rises."""
    final: Fraction = 0
    """Learning rate of each cycle's last step, as a fraction of the peak."""

    @model_validator(mode="after")
    def _check(self) -> RestartsConfig:
        ends = list(self.ends)
        if ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError(f"ends {ends} should ascend, and the last should be 1")
        return self


ScheduleConfig = Annotated[ConstantConfig | CosineConfig | OneCycleConfig | RestartsConfig, Field(discriminator="name")]


class EarlyStoppingConfig(Section):
    """Ends the training before its last step."""

    metric: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    """Number that has to improve."""
    patience: PositiveInt = 5
    """Validations without improvement after which training ends."""
    min_delta: NonNegative = 0
    """Smallest change that counts as an improvement."""


class TrainConfig(Section):
    """The length of training, its batches, optimizer and schedule, and how often it reports.

    Every key has a default, so that a recipe may leave out the whole section. The defaults are modest on purpose:
    batches of 32 fit small data sets, and AdamW at torch's own rate of 0.001 suits most families.
    """

    epochs: PositiveInt | None = Field(default=None, json_schema_extra={"default": f"{DEFAULT_EPOCHS}, without steps"})
    """Passes over the training samples; exclusive with ``steps``."""
    steps: PositiveInt | None = None
    """Training steps, each with one batch; exclusive with ``epochs``. CellNet takes an optimizer step per window of a
    training step, nca one per segment, all others one."""
    batch_size: PositiveInt = 32
    """Samples per training step, over all processes together; at most the number of training samples."""
    eval_batch_size: PositiveInt = 256
    """Samples per batch of validation and test; changes speed and memory only."""
    optimizer: OptimizerConfig = AdamWConfig(name="adamw")
    """The optimizer, by its name."""
    schedule: ScheduleConfig = ConstantConfig(name="constant")
    """The course of the learning rate over training, by its name."""
    clip_norm: Positive | None = None
    """Largest allowed norm of all gradients together; null: any."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a running average of the weights, which is then validated, tested and exported in their place; null: no
    average."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the computation. bf16 and fp16 are mixed precision; fp16 needs a GPU."""
    seed: NonNegativeInt = 0
    """Seed of the initial weights, the order of the samples and their augmentation."""
    log_every: PositiveInt = 50
    """Training steps between two lines of the metrics log."""
    checkpoint_every: PositiveInt | None = None
    """Training steps between validations, each of which saves a checkpoint; null: one epoch."""
    start_from: str | None = Field(default=None, min_length=1)
    """Trained model of the same family whose weights training starts from: a name, a folder or a Hub id, as
    ``zoo train --from`` takes it. A relative folder starts at the recipe's file. null: random weights."""
    taken_lr_factor: Positive = 1.0
    """Factor of the learning rate for the parameters that are taken from ``start_from``, which it needs."""
    freeze: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Patterns of parameter names, such as ``stem.*``; parameters that match one are not trained. In a
    growing network, the edges that exist at the start stay as they are."""

    early_stopping: EarlyStoppingConfig | None = None
    """Ends the training when validation stops improving; null: it takes all its steps."""
    cuda_graph: bool = False
    """On a GPU, repeat the forward and backward pass of a step as CUDA graphs, which changes speed and memory only. For
    gridnet, mlp and cnn, in one process and not in fp16; elsewhere than on a GPU it does nothing."""

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # These keys were added after the first models shipped, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        fields = type(self).model_fields
        later = ("start_from", "taken_lr_factor", "freeze", "early_stopping", "cuda_graph")
        unset = {key for key in later if getattr(self, key) == fields[key].default}
        return {key: value for key, value in values.items() if key not in unset}

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if not self.model_fields_set & {"epochs", "steps"}:
            self.__dict__["epochs"] = DEFAULT_EPOCHS  # a default of the field would exclude steps
        if self.epochs is None and self.steps is None:
            raise ValueError(f"epochs or steps is missing; write epochs: {DEFAULT_EPOCHS}")
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"epochs {self.epochs} and steps {self.steps} exclude each other: set one of them to null")
        if isinstance(self.schedule, OneCycleConfig) and self.schedule.cycle_momentum and not self._has_momentum():
            raise ValueError(
                f"schedule.cycle_momentum needs an optimizer with momentum, and {self.optimizer.name} has none here"
            )
        if self.taken_lr_factor != 1 and self.start_from is None:
            raise ValueError(f"taken_lr_factor {self.taken_lr_factor:g} needs start_from, found none")
        return self

    def _has_momentum(self) -> bool:
        optimizer = self.optimizer
        return isinstance(optimizer, AdamConfig | AdamWConfig) or (
            isinstance(optimizer, SgdConfig) and optimizer.momentum > 0
        )
