"""Image folders: images of any size in one folder per class, the layout of torchvision's ImageFolder.

Source: ``train/CLASS/``, ``val/CLASS/`` and, optionally, ``test/CLASS/`` in the data folder. Files are decoded when a
batch needs them.

- Input: one RGB image, uint8 ``[3, S, S]`` with S = ``image_size``. For evaluation the shorter side is resized to
  ``resize`` pixels and the centre is cropped, exactly as the SDK does; training may crop at random.
- Classes: named like their folders, sorted.
- Split: the three folders. Without ``test``, ``val`` is the test set and validation samples are held out of ``train``
  as the config says.
- Normalisation: pixels scaled to [0, 1], then ImageNet's mean and standard deviation per channel, as is usual for
  photographs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as TF

from sdk.errors import InputError
from sdk.images import read_picture
from sdk.inputs import InputSpec
from zoo.config.data import ImageFolderConfig
from zoo.data.augment import augment, random_crop
from zoo.data.sampling import Batch, hold_out
from zoo.data.split import Data, Split
from zoo.utils.errors import DataError

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(config: ImageFolderConfig, folder: Path) -> Data:
    """List the images in ``folder``.

    Raises DataError for a missing folder, a class without images, folders whose classes differ, and an impossible
    validation size.
    """
    train, val = _scan(folder, "train"), _scan(folder, "val")
    test = _scan(folder, "test") if (folder / "test").is_dir() else None
    for name, found in (("val", val), ("test", test)):
        if found is not None and found.classes != train.classes:
            differing = sorted(set(found.classes) ^ set(train.classes))
            raise DataError(f"{folder / name} and {folder / 'train'} have different classes: {', '.join(differing)}")
    if test is None:
        rest, held = hold_out(torch.tensor(train.targets), config.validation, config.seed)
        samples = [[train.samples[i] for i in rest], [train.samples[i] for i in held], val.samples]
    else:
        samples = [train.samples, val.samples, test.samples]
    side = config.image_size
    spec = InputSpec(kind="image", shape=(3, side, side), mean=_MEAN, std=_STD, resize=config.resize)
    training, validation, testing = (FolderSplit(listed, spec, config) for listed in samples)
    return Data(training, validation, testing, input_spec=spec, labels=train.classes)


class FolderSplit(Split):
    """Image files with their class numbers, decoded batch by batch."""

    def __init__(self, samples: list[tuple[str, int]], spec: InputSpec, config: ImageFolderConfig) -> None:
        super().__init__(spec, torch.tensor([label for _, label in samples]), config.workers)
        self.paths = [path for path, _ in samples]
        self.config = config

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        paths = [self.paths[index] for index in batch.indices.tolist()]
        labels = self.labels[batch.indices]
        if batch.seed is None:
            return torch.stack([self._centre(path) for path in paths]), labels
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(batch.seed)
            return self._augmented(paths), labels

    def _augmented(self, paths: list[str]) -> Tensor:
        config = self.config.augment
        if config.crop is None:
            return augment(torch.stack([self._centre(path) for path in paths]), config)
        crop = random_crop(config.crop, list(self.spec.shape[1:]))
        images = torch.stack([TF.pil_to_tensor(crop(_open(path))) for path in paths])
        return augment(images, config.model_copy(update={"crop": None}))

    def _centre(self, path: str) -> Tensor:
        try:
            return torch.from_numpy(read_picture(path, self.spec.shape, self.spec.resize))
        except InputError as error:
            raise DataError(str(error)) from None


def _scan(folder: Path, name: str) -> ImageFolder:
    if not (folder / name).is_dir():
        raise DataError(
            f"no folder {folder / name}; expected train/CLASS/ and val/CLASS/ with images in FOLDER; "
            "set ZOO_DATA=FOLDER or pass --data-dir FOLDER"
        )
    try:
        return ImageFolder(folder / name)
    except FileNotFoundError as error:  # no classes, or a class without images
        raise DataError(f"{folder / name}: {error}") from None


def _open(path: str) -> Image.Image:
    """Open a file as an RGB image, rotated upright by its EXIF tag."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {path!r}: {error}") from None
