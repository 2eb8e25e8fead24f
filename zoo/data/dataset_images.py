"""Images of a data set, decoded as the SDK decodes them for predictions.

- Input: one image, uint8 ``[C, H, W]``: grey or RGB, of the size that the config or the images say.
- Normalisation: pixels scaled to [0, 1], minus the mean of the training pixels per channel, over their standard
  deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk.errors import InputError
from sdk.images import open_picture, orientation, read_picture
from sdk.inputs import InputSpec
from zoo.config.data import DatasetConfig
from zoo.data.dataset_parts import Part
from zoo.data.split import ArraySplit, Data
from zoo.utils.errors import DataError

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_DECODED = 1000
"""Rows that are read at a time."""


def load_images(parts: dict[str, Part], column: str, names: list[str], config: DatasetConfig, origin: str) -> Data:
    """Return the images of ``column`` in their three parts; ``names`` are those of the classes."""
    shape = _shape(parts, column, config, origin)
    pixels = {role: _decode(part, column, shape, config.resize) for role, part in parts.items()}
    mean, std = _statistics(pixels["train"])
    spec = InputSpec(kind="image", shape=shape, mean=mean, std=std, resize=config.resize)
    splits = {
        role: ArraySplit(pixels[role], part.labels, spec, config.augment, config.workers)
        for role, part in parts.items()
    }
    return Data(**splits, input_spec=spec, labels=names, about=_describe(parts, names, shape, config, origin))


def _encoded(part: Part, column: str) -> Iterator[tuple[int, Any]]:
    """Yield the row and the encoded image of each sample, in order."""
    rows = part.rows.select_columns([column])
    for first in range(0, len(part.indices), _DECODED):
        indices = part.indices[first : first + _DECODED].tolist()
        yield from zip(indices, rows[indices][column], strict=True)


def _source(value: Any, part: Part, row: int) -> Any:
    """Return the bytes or the path of an image."""
    content = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
    if content is None:
        raise DataError(f"split {part.name}, row {row}: found no image")
    return content


def _shape(parts: dict[str, Part], column: str, config: DatasetConfig, origin: str) -> tuple[int, int, int]:
    """Return the shape of the model's input, from the config and the headers of the images."""
    size = (config.image_size, config.image_size) if isinstance(config.image_size, int) else config.image_size
    mode = config.mode
    if size is None or mode is None:
        sizes, grey = _look(parts, column)
        mode = mode or ("L" if grey else "RGB")
        if size is None and len(sizes) > 1:
            small, large = min(sizes), max(sizes)
            raise DataError(
                f"{origin}: found images of {len(sizes)} sizes, from {small[1]}x{small[0]} to {large[1]}x{large[0]} "
                "(width x height); set data.image_size to the size that all are resized to"
            )
        size = size or next(iter(sizes))
    return (1 if mode == "L" else 3, *size)


def _look(parts: dict[str, Part], column: str) -> tuple[set[tuple[int, int]], bool]:
    """Return the sizes (height, width) of all images, and True if all are grey."""
    sizes: set[tuple[int, int]] = set()
    grey = True
    for part in parts.values():
        for row, value in _encoded(part, column):
            source = _source(value, part, row)
            try:
                with open_picture(source) as image:
                    width, height = image.size[::-1] if orientation(image) > 4 else image.size
                    grey = grey and image.mode in _GREY_MODES
            except InputError as error:
                raise DataError(f"split {part.name}, row {row}: {error}") from None
            sizes.add((height, width))
    return sizes, grey


def _decode(part: Part, column: str, shape: tuple[int, int, int], resize: int | None) -> Tensor:
    """Return all images of a part, uint8 ``[N, C, H, W]``."""
    pixels: NDArray[np.uint8] = np.empty((len(part.indices), *shape), np.uint8)
    for number, (row, value) in enumerate(_encoded(part, column)):
        try:
            pixels[number] = read_picture(_source(value, part, row), shape, resize)
        except InputError as error:
            raise DataError(f"split {part.name}, row {row}: {error}") from None
    return torch.from_numpy(pixels)


def _statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of uint8 ``[N, C, H, W]``, scaled to [0, 1], to six digits.

    They come from exact counts of the 256 values, so they do not depend on threads or the order of the images.
    """
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        counts = np.bincount(pixels[:, channel].numpy().reshape(-1), minlength=256)
        mean = float(counts @ values / counts.sum())
        std = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
        means.append(round(mean, 6))
        stds.append(round(std, 6) or 1.0)  # a channel that never changes
    return tuple(means), tuple(stds)


def _describe(
    parts: dict[str, Part], names: list[str], shape: tuple[int, int, int], config: DatasetConfig, origin: str
) -> str:
    """Return one line on what was found and how it was split."""
    total = sum(len(part.indices) for part in parts.values())
    channels, height, width = shape
    sizes = torch.cat([part.labels for part in parts.values()]).bincount(minlength=len(names)).tolist()
    counts = ", ".join(f"{name} {size}" for name, size in zip(names, sizes, strict=True))
    if len(names) > 10:
        counts = f"{min(sizes)} to {max(sizes)} each"
    train, validation, test = (len(parts[role].indices) for role in ("train", "validation", "test"))
    kind = "grey" if channels == 1 else "RGB"
    return (
        f"{origin}: {total} {kind} images of {width}x{height} in {len(names)} classes ({counts}); "
        f"{train} for training, {validation} for validation, {test} for testing"
    )
