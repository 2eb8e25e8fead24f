"""The ``data:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from zoo.config.base import CountOrFraction, Positive, Section


class CropConfig(Section):
    """A random part of the image, resized to the size of the image (random resized crop)."""

    scale: tuple[Positive, Positive] = (0.08, 1.0)
    """Smallest and largest share of the image's area."""
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    """Smallest and largest width / height of the part."""

    @model_validator(mode="after")
    def _check(self) -> CropConfig:
        for key, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{key} [{low}, {high}] should be a lower and an upper bound")
        if self.scale[1] > 1:
            raise ValueError(f"scale [{self.scale[0]}, {self.scale[1]}] should not exceed 1, the whole image")
        return self


class AugmentConfig(Section):
    """Random changes to training images, drawn for every sample in every epoch and applied in the order given here."""

    crop: CropConfig | None = None
    rotate: float = Field(default=0, ge=0, le=180)
    """Largest angle in degrees, in either direction."""
    scale: float = Field(default=0, ge=0, lt=1)
    """The zoom factor is between 1 - scale and 1 + scale."""
    shift: NonNegativeInt = 0
    """Largest shift along each axis in whole pixels, in either direction; exposed pixels are black."""
    flip: bool = False
    """Mirror half of the images, on average, from left to right."""


class _DataConfig(Section):
    validation: CountOrFraction = 0.1
    """Number or fraction of the training samples that are held out for validation, the same share of every class."""
    seed: NonNegativeInt = 0
    """Seed of the choice of validation samples."""
    workers: NonNegativeInt = 0
    """Processes that prepare batches during training; 0: the training process prepares them itself."""

    @model_validator(mode="after")
    def _check(self) -> _DataConfig:
        if not self.validation:
            raise ValueError("validation should be above 0: every round of training ends with a validation")
        return self


class _ImagesConfig(_DataConfig):
    augment: AugmentConfig = AugmentConfig()


class DigitsConfig(_ImagesConfig):
    """The 1797 handwritten digits of 8x8 pixels that scikit-learn includes."""

    name: Literal["digits"]


class MnistConfig(_ImagesConfig):
    """MNIST: 70,000 handwritten digits of 28x28 pixels, of which the last 10,000 are the test set."""

    name: Literal["mnist"]
    validation: CountOrFraction = 5000


class ImageFolderConfig(_ImagesConfig):
    """Images of any size in ``train/CLASS/``, ``val/CLASS/`` and, optionally, ``test/CLASS/``.

    Without a ``test`` folder, ``val`` is the test set and validation samples are held out of ``train``.
    """

    name: Literal["image_folder"]
    validation: CountOrFraction = 0.02
    image_size: PositiveInt = 224
    """Side of the model's square input, in pixels."""
    resize: PositiveInt = 256
    """Length of the shorter side, in pixels, before the centre crop of evaluation."""

    @model_validator(mode="after")
    def _check_size(self) -> ImageFolderConfig:
        if self.resize < self.image_size:
            raise ValueError(f"resize {self.resize} should be at least image_size {self.image_size}")
        return self


class IrisConfig(_DataConfig):
    """Fisher's Iris, which scikit-learn includes: 150 flowers of three species, described by four lengths in cm."""

    name: Literal["iris"]
    validation: CountOrFraction = 24
    split: NonNegativeInt = 0
    """Seed of the choice of the 30 test flowers."""


DataConfig = Annotated[DigitsConfig | MnistConfig | IrisConfig | ImageFolderConfig, Field(discriminator="name")]
