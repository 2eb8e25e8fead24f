"""Chooses the samples of each batch, and those that are held out.

A training batch is a function of (seed, step) alone, so a resumed run sees the batches of an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from zoo.utils.errors import DataError


@dataclass(frozen=True)
class Batch:
    """The samples of one batch."""

    indices: Tensor
    """``[B]``, int64."""
    seed: int | None = None
    """Seed of the augmentation; None for evaluation, which does not augment."""
    rank: int = 0
    """Number of the process whose share of a training batch this is: sample ``rank + i * world`` of the batch is ``i``
    here. All processes have the same seed and draw the random numbers of the whole batch."""
    world: int = 1
    """Number of processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # As an array: tensors would go to a worker through shared memory, which may be full.
        return _restore, (self.indices.numpy(), self.seed, self.rank, self.world)


def _restore(indices: NDArray[np.int64], seed: int | None, rank: int, world: int) -> Batch:
    return Batch(torch.from_numpy(indices), seed, rank, world)


def derive_seed(*parts: int) -> int:
    """Derive a 32-bit seed from a sequence of non-negative numbers; different sequences give independent seeds."""
    # A sequence takes twice the time over a tuple, of which it makes the same words.
    words = np.array(parts, np.uint32) if max(parts) < 2**32 else parts
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def training_batches(
    count: int, size: int, seed: int, start: int, stop: int, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """Yield the batches of optimizer steps ``start`` to ``stop - 1``, counted from 0, from ``count`` samples.

    Every epoch has its own order and ends with its last full batch of ``size``. Process ``rank`` of ``world`` gets its
    equal share of each batch.
    """
    per_epoch = count // size
    epoch, order = -1, torch.empty(0)
    for step in range(start, stop):
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, 0, epoch)))
        first = step % per_epoch * size
        yield Batch(order[first + rank : first + size : world], derive_seed(seed, 1, step, 0), rank, world)


def evaluation_batches(count: int, size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """Yield all samples in order; process ``rank`` of ``world`` gets every ``world``-th batch."""
    for first in range(rank * size, count, world * size):
        yield Batch(torch.arange(first, min(first + size, count)))


def hold_out(labels: Tensor, part: float, seed: int, key: str = "data.validation") -> tuple[Tensor, Tensor]:
    """Hold out ``part``, a count or a fraction, drawn at random in the same share from every class.

    Return the sorted indices of the rest and of the held-out samples. Raises DataError, which names the recipe's
    ``key``, if either would be too small to hold every class, and if a class has only one sample.
    """
    total, classes = len(labels), len(set(labels.tolist()))
    count = part if isinstance(part, int) else math.ceil(part * total)
    if not classes <= count <= total - classes:
        raise DataError(
            f"{key} {part} of {total} training samples in {classes} classes: allowed are {classes} to "
            f"{total - classes} samples, or a fraction that gives as many"
        )
    try:
        rest, held = train_test_split(
            np.arange(len(labels)), test_size=part, stratify=labels.numpy(), random_state=seed
        )
    except ValueError as error:
        raise DataError(f"{key} {part} of {total} training samples: {error}") from None
    return torch.from_numpy(np.sort(rest)), torch.from_numpy(np.sort(held))
