"""Images of a data set, decoded as the SDK decodes them for predictions.

- Input: one image, uint8 ``[C, H, W]``: grey or RGB, of the size that the config or the images say.
- Normalisation: pixels scaled to [0, 1], minus the mean of the training pixels per channel, over their standard
  deviation.
- Memory: data sets of up to MEMORY_LIMIT bytes of decoded pixels are held decoded, larger ones are decoded when a batch
  needs them. Their mean and deviation are those of STATISTICS training images, evenly spaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk.errors import InputError
from sdk.images import decode_picture, open_picture, orientation, read_picture
from sdk.inputs import InputSpec
from zoo.config.data import DatasetConfig
from zoo.data.dataset_parts import Part
from zoo.data.encoded_split import EncodedSplit
from zoo.data.hashing import hash_tensors
from zoo.data.split import ArraySplit, Data, Split
from zoo.data.tally import Tally
from zoo.utils.errors import DataError

MEMORY_LIMIT = 2**30
"""Most bytes of decoded pixels of all parts that are held in memory, 1 GiB."""
STATISTICS = 10_000
"""Number of training images that mean and deviation of a larger data set come from."""
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_READ = 1000
"""Rows that are read at a time."""
_SHOWN = 5
"""Rows that an error names."""
Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass
class _Seen:
    """Sizes and colours in the headers of images."""

    sizes: set[Size]
    grey: bool
    """True if all images are grey."""


def load_images(parts: dict[str, Part], column: str, names: list[str], config: DatasetConfig, origin: str) -> Data:
    """Return the images of ``column`` in their three parts; ``names`` are those of the classes.

    Raises DataError for images that cannot be decoded, unless the config skips them, and for images of different sizes
    if the config does not give one.
    """
    notes: list[str] = []
    seen = _Seen(set(), grey=True)
    needs_look = config.image_size is None or config.mode is None or config.augment.crop is not None
    if needs_look:
        parts = _without_faults(parts, column, names, config, notes, lambda role, source: _look(source, seen))
    shape = _shape(seen, config, origin)
    cropped = config.augment.crop is not None and seen.sizes != {shape[1:]}  # out of images at their own size
    total = sum(len(part.indices) for part in parts.values())
    if total * math.prod(shape) <= MEMORY_LIMIT and not cropped:
        pixels = {role: np.empty((len(part.indices), *shape), np.uint8) for role, part in parts.items()}
        parts = _decode(parts, column, names, config, notes, pixels)
        arrays = {role: torch.from_numpy(found[: len(parts[role].indices)]) for role, found in pixels.items()}
        spec = _spec(shape, arrays["train"], config)
        splits: dict[str, Split] = {
            role: ArraySplit(arrays[role], part.labels, spec, config.augment, config.workers)
            for role, part in parts.items()
        }
    else:
        look = _fully if config.on_error == "skip" else _header
        parts = _without_faults(parts, column, names, config, notes, look)
        spec = _spec(shape, _sample(parts["train"], column, shape, config), config)
        splits = {role: RowSplit(part, column, spec, config) for role, part in parts.items()}
    about = _describe(parts, names, shape, config, origin)
    return Data(
        splits["train"],
        splits["validation"],
        splits["test"],
        input_spec=spec,
        labels=names,
        about="; ".join([about, *notes]),
    )


class RowSplit(EncodedSplit):
    """Images in the rows of a data set."""

    def __init__(self, part: Part, column: str, spec: InputSpec, config: DatasetConfig) -> None:
        super().__init__(spec, part.labels, config.augment, config.workers)
        self.part = part
        self.column = column

    def sources(self, indices: Sequence[int]) -> list[Any]:
        """Return the encoded images of samples."""
        rows = self.part.indices[list(indices)].tolist()
        values = self.part.rows.select_columns([self.column])[rows][self.column]
        return [_content(value) for value in values]

    def place(self, index: int) -> str:
        """Return the split and row of a sample."""
        return f"{_place(self.part, int(self.part.indices[index]))}: "

    def decode_all(self) -> Tally:
        faults = Tally()
        for _, row, content in _encoded(self.part, self.column):
            try:
                decode_picture(content, 3)
            except InputError as error:
                faults.add("images that cannot be read", f"{_place(self.part, row)} ({error})")
        return faults

    def _compute_hashes(self) -> dict[str, str]:
        """Hash the encoded images."""
        contents = (np.frombuffer(bytes(content), np.uint8) for _, _, content in _encoded(self.part, self.column))
        arrays = (torch.tensor(content) for content in contents)
        return {"content": hash_tensors([self.labels, *arrays])}


def _encoded(part: Part, column: str) -> Iterator[tuple[int, int, Any]]:
    """Yield number, row and encoded image of each sample, in order."""
    rows = part.rows.select_columns([column])
    for first in range(0, len(part.indices), _READ):
        indices = part.indices[first : first + _READ].tolist()
        for number, (row, value) in enumerate(zip(indices, rows[indices][column], strict=True), first):
            yield number, row, _content(value)


def _content(value: Any) -> bytes:
    """Return the bytes of an image; raises DataError for an image outside the data files, which may be any file."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None and isinstance(value, dict) and value.get("path"):
        raise DataError(f"found the image {value['path']!r} by its path, allowed images inside the data files")
    return content or b""


def _place(part: Part, row: int) -> str:
    return f"split {part.name}, row {row}"


def _without_faults(
    parts: dict[str, Part],
    column: str,
    names: list[str],
    config: DatasetConfig,
    notes: list[str],
    look: Callable[[str, bytes], object],
) -> dict[str, Part]:
    """Return the parts without the samples for which ``look(role, content)`` raises InputError, if these are skipped.

    Raises DataError that names them if it does not, and if a class loses all its samples.
    """
    faults: list[str] = []
    sound: dict[str, list[int]] = {role: [] for role in parts}
    for role, part in parts.items():
        for number, row, content in _encoded(part, column):
            try:
                look(role, content)
                sound[role].append(number)
            except InputError as error:
                faults.append(f"{_place(part, row)}: {error if content else 'no image'}")
    if not faults:
        return parts
    named = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
    if config.on_error == "stop":
        raise DataError(f"found {len(faults)} images that cannot be read ({named}); repair or remove them, or set "
                        "data.on_error: skip to go on without them")  # fmt: skip
    notes.append(f"left out {len(faults)} images that cannot be read ({named})")
    kept = {
        role: replace(part, indices=part.indices[sound[role]], labels=part.labels[sound[role]])
        for role, part in parts.items()
    }
    counts = kept["train"].labels.bincount(minlength=len(names)).tolist()
    if 0 in counts or not all(len(part.indices) for part in kept.values()):
        lost = names[counts.index(0)] if 0 in counts else "a whole split"
        raise DataError(f"found no image that can be read for {lost}: {notes[-1]}")
    return kept


def _look(source: bytes, seen: _Seen) -> None:
    """Add an image to what was seen."""
    with open_picture(source) as image:
        width, height = image.size[::-1] if orientation(image) > 4 else image.size
        seen.sizes.add((height, width))
        seen.grey = seen.grey and image.mode in _GREY_MODES


def _header(_: str, source: bytes) -> None:
    with open_picture(source):
        pass


def _fully(_: str, source: bytes) -> None:
    decode_picture(source, 3)


def _shape(seen: _Seen, config: DatasetConfig, origin: str) -> tuple[int, int, int]:
    """Return the shape of the model's input, from the config or the headers of the images."""
    size = (config.image_size, config.image_size) if isinstance(config.image_size, int) else config.image_size
    if size is None and len(seen.sizes) > 1:
        small, large = min(seen.sizes), max(seen.sizes)
        raise DataError(
            f"{origin}: found images of {len(seen.sizes)} sizes, from {small[1]}x{small[0]} to {large[1]}x{large[0]} "
            "(width x height); set data.image_size to the size that all are resized to"
        )
    size = size or next(iter(seen.sizes))
    return (1 if (config.mode or ("L" if seen.grey else "RGB")) == "L" else 3, *size)


def _decode(
    parts: dict[str, Part],
    column: str,
    names: list[str],
    config: DatasetConfig,
    notes: list[str],
    pixels: dict[str, NDArray[np.uint8]],
) -> dict[str, Part]:
    """Decode all images into ``pixels``, uint8 ``[N, C, H, W]`` per part; return the parts without faulty ones."""
    done = dict.fromkeys(parts, 0)

    def decode(role: str, content: bytes) -> None:
        shape = pixels[role].shape[1:]
        pixels[role][done[role]] = read_picture(content, shape, config.resize)
        done[role] += 1

    return _without_faults(parts, column, names, config, notes, decode)


def _sample(part: Part, column: str, shape: tuple[int, int, int], config: DatasetConfig) -> Tensor:
    """Return the decoded pixels of training images, evenly spaced, uint8 ``[N, C, H, W]``.

    Raises DataError, which names the row, for one that cannot be decoded.
    """
    every = max(1, len(part.indices) // STATISTICS)
    few = replace(part, indices=part.indices[::every], labels=part.labels[::every])
    found = []
    for _, row, content in _encoded(few, column):
        try:
            found.append(read_picture(content, shape, config.resize))
        except InputError as error:
            raise DataError(f"{_place(part, row)}: {error}") from None
    return torch.from_numpy(np.stack(found))


def _spec(shape: tuple[int, int, int], pixels: Tensor, config: DatasetConfig) -> InputSpec:
    mean, std = _statistics(pixels)
    return InputSpec(kind="image", shape=shape, mean=mean, std=std, resize=config.resize)


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
