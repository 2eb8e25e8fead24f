"""Splits of encoded images, which are decoded when a batch needs them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from sdk.errors import InputError
from sdk.images import decode_picture, read_picture
from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig
from zoo.data.augment import augment, random_crop
from zoo.data.sampling import Batch, derive_seed
from zoo.data.split import Split
from zoo.utils.errors import DataError


class EncodedSplit(Split):
    """Encoded images with their class numbers, decoded batch by batch.

    A random crop is cut out of the image at its own size; without one, the centre is, as for evaluation.
    """

    def __init__(self, spec: InputSpec, labels: Tensor, config: AugmentConfig, workers: int) -> None:
        super().__init__(spec, labels, workers)
        self.augment = config

    @abstractmethod
    def sources(self, indices: Sequence[int]) -> list[Any]:
        """Return samples as :func:`sdk.images.read_picture` takes them."""

    def place(self, index: int) -> str:
        """Return a prefix of errors that names a sample, for sources that do not name themselves."""
        return ""

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        numbers = batch.indices.tolist()
        sources = self.sources(numbers)
        labels = self.labels[batch.indices]
        if batch.seed is None:
            return torch.stack([self._centre(*pair) for pair in zip(sources, numbers, strict=True)]), labels
        with torch.random.fork_rng(devices=[]):
            return self._augmented(sources, batch, batch.seed), labels

    def _augmented(self, sources: Sequence[Any], batch: Batch, seed: int) -> Tensor:
        config, pairs = self.augment, list(zip(sources, batch.indices.tolist(), strict=True))
        if config.crop is None:
            images = [self._centre(source, index) for source, index in pairs]
        else:
            crop = random_crop(config.crop, list(self.spec.shape[1:]))
            images = []
            for number, (source, index) in enumerate(pairs):
                # Seeded per image: how many numbers a crop draws depends on the image's size.
                torch.default_generator.manual_seed(derive_seed(seed, batch.rank + number * batch.world))
                images.append(TF.pil_to_tensor(crop(self._decode(source, index))))
        torch.default_generator.manual_seed(seed)
        return augment(torch.stack(images), config.model_copy(update={"crop": None}), batch.rank, batch.world)

    def _centre(self, source: Any, index: int) -> Tensor:
        try:
            return torch.tensor(read_picture(source, self.spec.shape, self.spec.resize))
        except InputError as error:
            raise DataError(f"{self.place(index)}{error}") from None

    def _decode(self, source: Any, index: int) -> Image.Image:
        try:
            return decode_picture(source, self.spec.shape[0])
        except InputError as error:
            raise DataError(f"{self.place(index)}{error}") from None
