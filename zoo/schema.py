"""The ``data:``, ``train:`` and ``export:`` sections of a recipe. Unknown keys are refused everywhere.

A validator's message begins with the key it is about, so that an error can name the key's path.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)


def _count_or_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a whole number, or a fraction between 0 and 1")
    if value < 0 or (isinstance(value, float) and value >= 1):
        raise ValueError("should be a whole number of at least 0, or a fraction of at least 0 and below 1")
    return value


CountOrFraction = Annotated[int | float, BeforeValidator(_count_or_fraction)]
"""An int counts, a float is a fraction of the whole."""

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change once built."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- data ---


class CropConfig(Section):
    """A random part of the image, resized to the image's size (random resized crop)."""

    scale: tuple[Positive, Positive] = (0.08, 1.0)
    """Bounds of the part's share of the area."""
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    """Bounds of the part's width over its height."""

    @model_validator(mode="after")
    def _check(self) -> CropConfig:
        for key, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{key} [{low}, {high}] should be a lower and an upper bound")
        if self.scale[1] > 1:
            raise ValueError(f"scale [{self.scale[0]}, {self.scale[1]}] should not exceed 1, the whole image")
        return self


class AugmentConfig(Section):
    """Random changes to training images, drawn anew for every sample and epoch, in the order given here."""

    crop: CropConfig | None = None
    rotate: float = Field(default=0, ge=0, le=180)
    """Degrees to either side."""
    scale: float = Field(default=0, ge=0, lt=1)
    """Zoom between 1 - scale and 1 + scale."""
    shift: NonNegativeInt = 0
    """Whole pixels to either side, along each axis; what moves in is black."""
    flip: bool = False
    """Left and right exchanged in every second image, on average."""


class _DataConfig(Section):
    validation: CountOrFraction = 0.1
    """How many (or which share) of the training samples are held out for validation, equally per class."""
    seed: NonNegativeInt = 0
    """Of the choice of the validation samples."""
    workers: NonNegativeInt = 0
    """Processes that prepare batches beside training; 0: none."""

    @model_validator(mode="after")
    def _check(self) -> _DataConfig:
        if not self.validation:
            raise ValueError("validation should be above 0: each round of training ends with a validation")
        return self


class _ImagesConfig(_DataConfig):
    augment: AugmentConfig = AugmentConfig()


class DigitsConfig(_ImagesConfig):
    """scikit-learn's 1797 handwritten digits of 8x8 pixels, which come with the library."""

    name: Literal["digits"]


class MnistConfig(_ImagesConfig):
    """70,000 handwritten digits of 28x28 pixels, the last 10,000 of them the test set."""

    name: Literal["mnist"]
    validation: CountOrFraction = 5000


class ImageFolderConfig(_ImagesConfig):
    """Images of any size in ``train/CLASS/``, ``val/CLASS/`` and, if there is one, ``test/CLASS/``.

    Without a ``test`` folder, ``val`` is the test set and validation samples are taken out of ``train``.
    """

    name: Literal["image_folder"]
    validation: CountOrFraction = 0.02
    image_size: PositiveInt = 224
    """Side of the square images the model sees, in pixels."""
    resize: PositiveInt = 256
    """Length of the shorter side, in pixels, before the centre is cut out for evaluation."""

    @model_validator(mode="after")
    def _check_size(self) -> ImageFolderConfig:
        if self.resize < self.image_size:
            raise ValueError(f"resize {self.resize} should be at least image_size {self.image_size}")
        return self


class IrisConfig(_DataConfig):
    """Fisher's 150 flowers of three species, four lengths in cm each, which come with scikit-learn."""

    name: Literal["iris"]
    validation: CountOrFraction = 24
    split: NonNegativeInt = 0
    """Which of the ways to set 30 flowers aside for the test."""


DataConfig = Annotated[DigitsConfig | MnistConfig | IrisConfig | ImageFolderConfig, Field(discriminator="name")]


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


# --- export ---


class ExportConfig(Section):
    licence: str = Field(default="MIT", min_length=1)
    """SPDX identifier of the weights' licence."""
    formats: tuple[Literal["safetensors", "onnx"], ...] = ("safetensors", "onnx")
    """Files of the artifact that hold the model."""

    @model_validator(mode="after")
    def _check(self) -> ExportConfig:
        if "safetensors" not in self.formats:
            raise ValueError("formats should include safetensors, from which all else is made")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats {list(self.formats)} should name each format once")
        return self
