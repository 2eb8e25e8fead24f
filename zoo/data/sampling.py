"""Which samples a batch holds, and which are held out.

A training batch is a function of (seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from zoo.utils.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Which samples, and the seed of their augmentation (None: as they are, for evaluation)."""

    indices: Tensor
    seed: int | None = None


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
