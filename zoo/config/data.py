"""The ``data:`` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from sdk.inputs import LARGEST_SIDE
from sdk.tasks import TaskKind
from zoo.config.base import CountOrFraction, NonNegativeInt, Positive, Section

OnError = Literal["stop", "skip"]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]


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
    """A random part of each image, resized; null: the whole image."""
    rotate: float = Field(default=0, ge=0, le=180)
    """Largest angle in degrees, in either direction."""
    scale: float = Field(default=0, ge=0, lt=1)
    """The zoom factor is between 1 - scale and 1 + scale."""
    shift: NonNegativeInt = 0
    """Largest shift along each axis in whole pixels, in either direction; exposed pixels are black."""
    flip: bool = False
    """Mirror half of the images, on average, from left to right."""


class _DataConfig(Section):
    _ADDED: ClassVar[dict[str, Any]] = {"task": "classification"}
    """Keys that are stored only if they differ from these values."""

    validation: CountOrFraction = 0.1
    """Number or fraction of the training samples to hold out for validation, above 0, the same share of every class."""
    seed: NonNegativeInt = 0
    """Seed of the choice of held-out samples."""
    workers: int = Field(default=0, ge=0, le=1024)
    """Processes that prepare batches during training; 0: the training process prepares them itself."""
    task: TaskKind = "classification"
    """The answer that a model learns: the class of an input, or the input itself (echo); echo does not use the
    labels."""

    @model_validator(mode="after")
    def _check(self) -> _DataConfig:
        if not self.validation:
            raise ValueError("validation should be above 0: every round of training ends with a validation")
        return self

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # These keys were added after the first models shipped, whose recipes and hashes must stay what they are.
        values: dict[str, Any] = serialize(self)
        return {key: value for key, value in values.items() if key not in self._ADDED or value != self._ADDED[key]}


class _ImagesConfig(_DataConfig):
    augment: AugmentConfig = AugmentConfig()
    """Random changes to training images; none by default."""


class _StoredConfig(_ImagesConfig):
    """A data set that is read from a folder."""

    _ADDED: ClassVar[dict[str, Any]] = {
        **_DataConfig._ADDED,
        "path": None,
        "test": None,
        "on_error": "stop",
        "mode": None,
    }

    path: str | None = Field(default=None, min_length=1)
    """Folder of the data set: absolute, below ``~``, or relative to the recipe's file. ``--data-dir`` takes precedence.
    null: ``$ZOO_DATA``, else the user's cache."""


class DigitsConfig(_ImagesConfig):
    """The 1797 handwritten digits of 8x8 pixels that scikit-learn includes."""

    name: Literal["digits"]
    """The name of the data set."""


class MnistConfig(_StoredConfig):
    """MNIST: 70,000 handwritten digits of 28x28 pixels, of which the last 10,000 are the test set."""

    name: Literal["mnist"]
    """The name of the data set."""
    validation: CountOrFraction = 5000
    """Number or fraction of the 60,000 training samples to hold out for validation, above 0, the same share of every
    class."""


class FashionMnistConfig(_StoredConfig):
    """Fashion-MNIST: 70,000 images of clothing, 28x28 pixels, in ten classes; the last 10,000 are the test set."""

    name: Literal["fashion_mnist"]
    """The name of the data set."""
    validation: CountOrFraction = 5000
    """Number or fraction of the 60,000 training samples to hold out for validation, above 0, the same share of every
    class."""


def _longest(image_size: int | tuple[int, int]) -> int:
    return image_size if isinstance(image_size, int) else max(image_size)


def _usual_resize(known: dict[str, Any]) -> int:
    """Return the shorter side before the crop in the proportion that is usual for photographs, 256 to 224."""
    image_size = known.get("image_size", 224)  # missing if it is invalid, which is then the error
    return min(LARGEST_SIDE, round(_longest(image_size) * 256 / 224))


class ImageFolderConfig(_StoredConfig):
    """Images of any size in one folder per class, in parts (``train/CLASS/``, ``val/CLASS/``) or in one (``CLASS/``).

    Parts that the folder does not have are held out of the others: docs/guides/recipes.md.
    """

    name: Literal["image_folder"]
    """The name of the data set."""
    validation: CountOrFraction = 0.1
    """Number or fraction of the training images to hold out for validation, above 0, the same share of every class; a
    fraction gives at least one per class. Unused if the folder has train/, val/ and test/."""
    test: CountOrFraction | None = None
    """Number or fraction of the images to hold out as the test set, above 0, the same share of every class; a fraction
    gives at least one per class. null: 0.1. Refused if the folder has test/ or val/, which is the test set."""
    on_error: OnError = "stop"
    """Treatment of damaged images and classes that cannot be used. stop: an error, which names all; skip: they are
    left out, for which every image is decoded before training."""
    image_size: Side | tuple[Side, Side] = 224
    """Side of the model's square input, or [height, width], in pixels."""
    mode: Literal["L", "RGB"] | None = None
    """Grey (L) or colour (RGB), to which all images are converted; null: RGB."""
    resize: Side = Field(default_factory=_usual_resize, json_schema_extra={"default": "image_size * 256 / 224"})
    """Length of the shorter side, in pixels, before the centre crop of evaluation; at least ``image_size``. The default
    is rounded."""

    @model_validator(mode="after")
    def _check_parts(self) -> ImageFolderConfig:
        if self.resize < _longest(self.image_size):
            raise ValueError(f"resize {self.resize} should be at least image_size {_longest(self.image_size)}")
        if self.test is not None and not self.test:
            raise ValueError("test should be above 0: every training ends with a test")
        return self


class SplitsConfig(Section):
    """The names of a data set's splits, as the data set calls them; null: the usual names, where they exist."""

    train: str | None = Field(default=None, min_length=1)
    """The split to train on; null: train, training, or the only split."""
    validation: str | None = Field(default=None, min_length=1)
    """The split to validate on; null: validation, valid, val or dev; else held out of the training split."""
    test: str | None = Field(default=None, min_length=1)
    """The split to test on; null: test or testing; else held out of the training split."""


class DatasetConfig(_ImagesConfig):
    """Any data set of images or tables that Hugging Face's ``datasets`` reads: from the Hub, a folder or a file.

    The rules are in docs/guides/data.md.
    """

    _ADDED: ClassVar[dict[str, Any]] = {**_DataConfig._ADDED, "on_error": "stop"}

    name: Literal["dataset"]
    """The name of the data set."""
    path: str = Field(min_length=1, examples=["uoft-cs/cifar10"])
    """A data set on the Hub (``user/repo``), which is first looked for below the data folder; a folder of a data set or
    of images; or a .parquet, .csv, .tsv, .json or .jsonl file. Files and folders: absolute, below ``~``, or relative to
    the recipe's file."""
    revision: str | None = Field(default=None, min_length=1)
    """Branch, tag or commit of a data set on the Hub; null: its main branch."""
    config: str | None = Field(default=None, min_length=1)
    """The configuration of the data set, if it has several."""
    input: str | tuple[str, ...] | None = Field(default=None, min_length=1)
    """The column of the images, or a list of a table's columns; null: the only column of images, else all columns
    but the target and ``__index_level_0__``, pandas' index."""
    target: str | None = Field(default=None, min_length=1)
    """The column of the classes; null: the only column of class labels, else ``label``."""
    splits: SplitsConfig | None = None
    """The names of the splits; null: the usual ones."""
    validation: CountOrFraction = 0.1
    """Number or fraction of the training samples to hold out for validation, above 0, the same share of every class; a
    fraction gives at least one per class. Unused if the data set has a validation split."""
    test: CountOrFraction | None = None
    """Number or fraction of the samples to hold out as the test set, above 0, the same share of every class; a fraction
    gives at least one per class. null: 0.1. Refused if the data set has a test split."""
    on_error: OnError = "stop"
    """Treatment of images that cannot be decoded. stop: an error, which names them; skip: they are left out."""
    image_size: Side | tuple[Side, Side] | None = None
    """Side of the model's square input, or [height, width], in pixels; null: the size of the images, if all are
    alike."""
    resize: Side | None = None
    """Length of the shorter side, in pixels, before the centre crop, at least ``image_size``; null: the smallest that
    covers it."""
    mode: Literal["L", "RGB"] | None = None
    """Grey (L) or colour (RGB); null: L if all images are grey."""
    fill: Literal["mean"] | None = None
    """Treatment of missing values in a table. mean: the mean of the training numbers, and the most frequent category;
    null: they are errors."""

    @model_validator(mode="after")
    def _check_keys(self) -> DatasetConfig:
        if self.test is not None and not self.test:
            raise ValueError("test should be above 0: every training ends with a test")
        if self.resize is not None and self.image_size is None:
            raise ValueError(f"resize {self.resize} needs image_size, the size of the crop")
        if self.resize is not None and self.image_size is not None and self.resize < _longest(self.image_size):
            raise ValueError(f"resize {self.resize} should be at least image_size {_longest(self.image_size)}")
        return self

    @model_serializer(mode="wrap")
    def _without_unset_keys(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A recipe with keys left out keeps its hash when keys are added here.
        values: dict[str, Any] = serialize(self)
        return {key: value for key, value in values.items() if value is not None and value != self._ADDED.get(key)}


class IrisConfig(_DataConfig):
    """Fisher's Iris, which scikit-learn includes: 150 flowers of three species, described by four lengths in cm."""

    name: Literal["iris"]
    """The name of the data set."""
    validation: CountOrFraction = 24
    """Number or fraction of the 120 training samples to hold out for validation, above 0, the same share of every
    class."""
    split: NonNegativeInt = 0
    """Seed of the choice of the 30 test flowers."""


DataConfig = Annotated[
    DigitsConfig | MnistConfig | FashionMnistConfig | IrisConfig | ImageFolderConfig | DatasetConfig,
    Field(discriminator="name"),
]
