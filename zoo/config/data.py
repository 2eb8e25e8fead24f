"""The ``data:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from zoo.config.base import CountOrFraction, Positive, Section

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
