"""Image folders: images of any size in one folder per class, the layout of torchvision's ImageFolder.

Source: ``CLASS/``, or ``train/CLASS/`` with any of ``val/CLASS/`` and ``test/CLASS/``, in the data folder. Files are
decoded when a batch needs them.

- Input: one image, uint8 ``[C, H, W]``, RGB or grey as ``mode`` says, of ``image_size``. For evaluation the shorter
  side is resized to ``resize`` pixels and the centre is cropped, exactly as the SDK does; training may crop at random.
- Classes: named like their folders, sorted.
- Split: the three folders. What they lack is held out by the config's ``seed``, the same share of every class. Without
  ``test``, ``val`` is the test set; without both, ``test`` of the config is held out of all images. Unless ``val`` and
  ``test`` exist, ``validation`` of the config is then held out of the rest.
- Normalisation: pixels scaled to [0, 1], then ImageNet's mean and standard deviation per channel, as is usual for
  photographs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from sdk.inputs import InputSpec
from zoo.config.data import ImageFolderConfig
from zoo.data.encoded_split import EncodedSplit
from zoo.data.faults import decode_files, examine, note_contradictions, note_duplicates
from zoo.data.hashing import hash_files, hash_text
from zoo.data.image_files import Listing, list_images
from zoo.data.sampling import hold_out
from zoo.data.split import Data
from zoo.data.tally import Tally
from zoo.utils.errors import DataError

Samples = list[tuple[str, int]]
"""Files with their class numbers."""

_TEST = 0.1
"""Fraction of the images to hold out as the test set if neither the folder nor the config says."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GREY_MEAN, _GREY_STD = (0.459,), (0.226,)


def load(config: ImageFolderConfig, folder: Path) -> Data:
    """List the images in ``folder``, and split them if it has no parts.

    Raises DataError as :func:`zoo.data.image_files.list_images` and :func:`zoo.data.faults.examine` do, for an
    impossible size of a held-out part, and for ``data.test`` if the folder has a test set.
    """
    listing, notes = examine(list_images(folder), folder, config.on_error)
    labels = list(next(iter(listing.parts.values())))
    train, validation, test = _split(listing, config, folder)
    size = config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    mean, std = (_GREY_MEAN, _GREY_STD) if config.mode == "L" else (_MEAN, _STD)
    spec = InputSpec(kind="image", shape=(len(mean), height, width), mean=mean, std=std, resize=config.resize)
    training, validating, testing = (
        FolderSplit(samples, spec, config, folder) for samples in (train, validation, test)
    )
    note_duplicates(notes, folder, training.paths, [*validating.paths, *testing.paths])
    note_contradictions(notes, folder, [*train, *validation, *test])
    about = _describe(folder, listing, config, (len(train), len(validation), len(test)), notes)
    return Data(training, validating, testing, input_spec=spec, labels=labels, about=about)


def _split(listing: Listing, config: ImageFolderConfig, folder: Path) -> tuple[Samples, Samples, Samples]:
    """Return the training, validation and test samples."""
    parts = {part: _number(classes) for part, classes in listing.parts.items()}
    train = parts.get("all", parts.get("train", []))
    test = parts.get("test", parts.get("val"))
    if test is not None and config.test is not None:
        found = "test" if "test" in parts else "val"
        raise DataError(
            f"data.test {config.test}: found {found}/ in {folder}, which is the test set; leave the key out"
        )
    if test is None:
        train, test = _hold_out(train, _TEST if config.test is None else config.test, config.seed, "data.test")
    if "val" in parts and "test" in parts:
        return train, parts["val"], test
    train, validation = _hold_out(train, config.validation, config.seed, "data.validation")
    return train, validation, test


def _number(classes: dict[str, list[str]]) -> Samples:
    return [(path, number) for number, paths in enumerate(classes.values()) for path in paths]


def _hold_out(samples: Samples, part: float, seed: int, key: str) -> tuple[Samples, Samples]:
    """Hold out a count, or a fraction that gives at least one sample per class."""
    labels = torch.tensor([number for _, number in samples])
    sizes = labels.bincount()
    count = part if isinstance(part, int) else max(math.ceil(part * len(labels)), len(sizes))
    if int(sizes.min()) < 2:
        folder = Path(samples[int((labels == sizes.argmin()).nonzero()[0])][0]).parent
        raise DataError(
            f"{key} {part}: found 1 training image in {folder}, expected at least 2 per class to hold out 1"
        )
    rest, held = hold_out(labels, count, seed, key)
    return [samples[i] for i in rest.tolist()], [samples[i] for i in held.tolist()]


def _describe(
    folder: Path, listing: Listing, config: ImageFolderConfig, sizes_of_parts: tuple[int, int, int], notes: Tally
) -> str:
    """Return one line on what was found, how it was split, what was left out and what is unusual."""
    sizes = {
        name: sum(len(part[name]) for part in listing.parts.values()) for name in next(iter(listing.parts.values()))
    }
    counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if len(sizes) > 10:
        counts = f"{min(sizes.values())} to {max(sizes.values())} each"
    steps = [f"{part}/" for part in listing.parts if part != "all"]
    steps += [] if len(steps) == 3 else [f"split by seed {config.seed}"]
    nested = f"; {listing.nested} in subfolders of their class" if listing.nested else ""
    left_out, unusual = listing.left_out.summary(), notes.summary()
    train, validation, test = sizes_of_parts
    return (
        (
            f"{folder}: {sum(sizes.values())} images in {len(sizes)} classes ({counts}){nested}; {', '.join(steps)}: "
            f"{train} for training, {validation} for validation, {test} for testing"
        )
        + (f" (left out: {left_out})" if left_out else "")
        + (f" (note: {unusual})" if unusual else "")
    )


class FolderSplit(EncodedSplit):
    """Image files with their class numbers."""

    def __init__(self, samples: Samples, spec: InputSpec, config: ImageFolderConfig, folder: Path) -> None:
        super().__init__(spec, torch.tensor([label for _, label in samples]), config.augment, config.workers)
        self.paths = [path for path, _ in samples]
        self.folder = folder

    def sources(self, indices: Sequence[int]) -> list[str]:
        """Return the paths of files, which errors name."""
        return [self.paths[index] for index in indices]

    def decode_all(self) -> Tally:
        return decode_files(self.paths, self.folder)

    def _compute_hashes(self) -> dict[str, str]:
        names = (os.path.relpath(path, self.folder) for path in self.paths)
        return {"names": hash_text(names), "content": hash_files(self.paths, self.labels)}
