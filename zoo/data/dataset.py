"""Data sets of images and tables that Hugging Face's ``datasets`` reads; docs/guides/data.md has the rules.

Source: a data set on the Hub at a revision, a folder of a Hub data set, a Parquet, CSV or JSON file, or a folder of
images (:mod:`zoo.data.image_folder`). Nothing of it is executed or unpickled.

- Input: uint8 images ``[C, H, W]``, grey or RGB, decoded as the SDK does (:mod:`zoo.data.dataset_images`), or the
  columns of a table as float32 ``[features]`` (:mod:`zoo.data.dataset_tables`).
- Classes: named by the column of class labels, or its sorted values as text (:mod:`zoo.data.dataset_parts`).
- Split: the data set's own splits. What they lack is held out by the config's ``seed``, the same share of every class.
- Normalisation: pixels by the mean and deviation of each channel over the training images; numbers by the mean and
  deviation of their column over the training rows; categories are one-hot.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets

from sdk.validation import hint
from zoo.config.data import DatasetConfig, ImageFolderConfig
from zoo.data import image_folder
from zoo.data.dataset_images import load_images
from zoo.data.dataset_parts import name_classes, split_samples, without_unlabelled_test
from zoo.data.dataset_source import Opened, Place, is_image_folder, locate, open_dataset
from zoo.data.dataset_tables import load_table
from zoo.data.split import Data
from zoo.utils.errors import DataError

_IMAGE_KEYS = ("image_size", "resize", "mode")


def load(config: DatasetConfig, folder: Path) -> Data:
    """Load the data set that ``config`` names; Hub ids are first looked for below ``folder``.

    Raises DataError for a data set that cannot be read, columns that do not exist or fit, labels that are missing or
    differ between the splits, and impossible sizes of held-out parts.
    """
    place = locate(config, folder)
    if is_image_folder(place.path):
        return image_folder.load(_as_folder(config, place), place.path)
    opened = open_dataset(config, place)
    features = opened.parts["train"].features
    target = _target(features, config.target, opened)
    images = _image_column(features, config, target)
    opened, left_out = without_unlabelled_test(opened, target, config)
    names, labels = name_classes(opened, target)
    parts = split_samples(opened, labels, names, config)
    if images is None:
        _check_keys(config, _IMAGE_KEYS, f"a table: {opened.origin}")
        data = load_table(parts, target, names, config, opened.origin)
    else:
        _check_keys(config, ("fill",), f"a data set of images: {opened.origin}")
        data = load_images(parts, images, names, config, opened.origin)
    unused = f"not used: split {', '.join(opened.unused)}; data.splits names others" if opened.unused else ""
    return replace(data, about="; ".join(filter(None, [data.about, left_out, unused])))


def holds_images(config: DatasetConfig, folder: Path) -> bool:
    """Return True for a data set of images, False for a table; raises DataError as :func:`load` does."""
    place = locate(config, folder)
    if is_image_folder(place.path):
        return True
    opened = open_dataset(config, place)
    features = opened.parts["train"].features
    return _image_column(features, config, _target(features, config.target, opened)) is not None


def _as_folder(config: DatasetConfig, place: Place) -> ImageFolderConfig:
    """Return the config of an image folder, whose rules for parts and classes hold for it."""
    _check_keys(config, ("fill", "input", "target", "splits", "config"), f"a folder of images: {place.origin}")
    shared = ("validation", "seed", "workers", "augment", *_IMAGE_KEYS, "test")
    keys = {key: value for key in shared if (value := getattr(config, key)) is not None}
    if "image_size" not in keys:
        raise DataError(f"data.image_size: missing for the folder of images {place.origin}; set it to the model's side")
    return ImageFolderConfig.model_validate({"name": "image_folder", **keys})


def _check_keys(config: DatasetConfig, keys: tuple[str, ...], found: str) -> None:
    """Raise DataError if a key is set that has no meaning for the data."""
    wrong = next((key for key in keys if getattr(config, key) is not None), None)
    if wrong is not None:
        raise DataError(f"data.{wrong}: found {found}, for which it has no meaning; leave it out")


def _target(features: datasets.Features, wanted: str | None, opened: Opened) -> str:
    """Return the column of the classes."""
    if wanted is not None:
        if wanted not in features:
            raise DataError(f"data.target: found {wanted}{hint(wanted, list(features))}, "
                            f"allowed: {', '.join(features)} ({opened.origin})")  # fmt: skip
        return wanted
    labelled = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if len(labelled) == 1:
        return str(labelled[0])
    if "label" in features:
        return "label"
    raise DataError(f"{opened.origin}: found the columns {', '.join(features)}; set data.target to that of the classes")


def is_image(feature: Any) -> bool:
    """Return True for a column of encoded images: bytes, or bytes with a file name."""
    if isinstance(feature, datasets.Image):
        return True
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")


def _image_column(features: datasets.Features, config: DatasetConfig, target: str) -> str | None:
    """Return the column of the images; None for a table."""
    if isinstance(config.input, str):
        if config.input not in features:
            raise DataError(f"data.input: found {config.input}{hint(config.input, list(features))}, "
                            f"allowed: {', '.join(features)}")  # fmt: skip
        return config.input if is_image(features[config.input]) else None
    found = [name for name, feature in features.items() if name != target and is_image(feature)]
    if config.input is None and len(found) > 1:
        raise DataError(f"data.input: found the columns of images {', '.join(found)}; set data.input to one of them")
    return found[0] if config.input is None and found else None
