"""The three parts of a data set.

A part gives whole batches: ``part[Batch(...)] -> (raw inputs, labels)``.
"""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig
from zoo.data.augment import augment
from zoo.data.sampling import Batch
from zoo.data.task import Task
from zoo.utils.errors import DataError


class Split(Dataset[tuple[Tensor, Tensor]]):
    """One part of a data set; gives raw batches (uint8, or float as :meth:`prepare` takes them)."""

    def __init__(self, spec: InputSpec, labels: Tensor, workers: int) -> None:
        self.spec = spec
        self.labels = labels
        self.workers = workers

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw inputs ``[B, *shape]`` and labels ``[B]``."""

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw inputs -> the model's in float32: uint8 to [0, 1], minus the mean, over the std."""
        shape = (-1,) + (1,) * (len(self.spec.shape) - 1)
        mean = torch.tensor(self.spec.mean, device=raw.device).view(shape)
        std = torch.tensor(self.spec.std, device=raw.device).view(shape)
        values = raw.float().div(255) if raw.dtype == torch.uint8 else raw
        return values.sub(mean).div(std)

    def everything(self) -> tuple[Tensor, Tensor]:
        """All prepared inputs ``[N, *shape]`` and labels ``[N]``, in order; for parts that fit into memory."""
        raw, labels = self[Batch(torch.arange(len(self)))]
        return self.prepare(raw), labels

    def stream(self, batches: Iterable[Batch], device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Prepared inputs ``[B, *shape]`` and labels ``[B]`` on ``device``, batch after batch."""
        loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            self,
            batch_size=None,
            sampler=batches,
            num_workers=self.workers,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # its seed draw should not move the global generator
        )
        try:
            for raw, labels in loader:
                yield self.prepare(raw.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
        except DataError as error:
            traceback.clear_frames(error.__traceback__)  # they hold the loader, whose workers would wait
            # A worker's error comes with its traceback, the message last.
            raise DataError(str(error).splitlines()[-1].split("DataError: ")[-1]) from None


class ArraySplit(Split):
    """Samples in memory: ``inputs [N, *shape]``, uint8 or float32, and ``labels [N]``."""

    def __init__(self, inputs: Tensor, labels: Tensor, spec: InputSpec, config: AugmentConfig, workers: int) -> None:
        super().__init__(spec, labels, workers)
        self.inputs = inputs
        self.augment = config if config != AugmentConfig() else None

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = self.inputs[batch.indices], self.labels[batch.indices]
        if batch.seed is not None and self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(batch.seed)
                inputs = augment(inputs, self.augment)
        return inputs, labels


@dataclass(frozen=True)
class Data:
    train: Split
    validation: Split
    test: Split
    input_spec: InputSpec
    labels: list[str]

    @property
    def task(self) -> Task:
        return Task(self.input_spec.shape, len(self.labels))
