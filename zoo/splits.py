"""The parts of a data set, and which of their samples a batch holds.

A part gives whole batches: ``part[Batch(...)] -> (raw inputs, labels)``. What a training batch holds is
a function of (seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import traceback
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdk.errors import CellzooError
from sdk.inputs import InputSpec
from zoo.augment import augment
from zoo.families.base import Task
from zoo.schema import AugmentConfig


class DataError(CellzooError):
    """A data set that is missing, damaged or not what the recipe says; one line that tells what to do."""


@dataclass(frozen=True)
class Batch:
    """Which samples, and the seed of their augmentation (None: as they are, for evaluation)."""

    indices: Tensor
    seed: int | None = None


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


# --- which samples, when ---


def derive_seed(*parts: int) -> int:
    """A 32-bit seed that differs for every sequence of non-negative numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def training_batches(
    count: int, size: int, seed: int, start: int, stop: int, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The batches of optimizer steps ``start`` to ``stop`` (from 0) out of ``count`` samples.

    Every epoch has its own order and ends with the last whole batch of ``size``; process ``rank`` of
    ``world`` gets its equal part of each batch.
    """
    per_epoch = count // size
    epoch, order = -1, torch.empty(0)
    for step in range(start, stop):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, 0, epoch)))
        first = step % per_epoch * size
        yield Batch(order[first : first + size][rank::world], derive_seed(seed, 1, step, rank))


def evaluation_batches(count: int, size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """All samples in order; process ``rank`` of ``world`` gets every ``world``-th batch."""
    for first in range(rank * size, count, world * size):
        yield Batch(torch.arange(first, min(first + size, count)))


def hold_out(labels: Tensor, part: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of (the rest, the held-out part): a count or a fraction, drawn in equal parts per class.

    Raises DataError when either part would be too small to hold every class, or a class has one sample only.
    """
    total, classes = len(labels), len(set(labels.tolist()))
    count = part if isinstance(part, int) else math.ceil(part * total)
    if not classes <= count <= total - classes:
        raise DataError(
            f"data.validation {part} of {total} training samples in {classes} classes: allowed are {classes} to "
            f"{total - classes} samples, or the fraction that gives so many"
        )
    try:
        rest, held = train_test_split(
            np.arange(len(labels)), test_size=part, stratify=labels.numpy(), random_state=seed
        )
    except ValueError as error:
        raise DataError(f"data.validation {part} of {total} training samples: {error}") from None
    return torch.from_numpy(np.sort(rest)), torch.from_numpy(np.sort(held))
