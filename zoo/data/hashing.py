"""Hashes of samples: tensors in memory and files on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from torch import Tensor

from zoo.utils.errors import DataError

READ_LIMIT = 512 * 2**20
"""Bytes of files that are read whole. Of larger collections, SAMPLED files are read; sizes are compared of all."""
SAMPLED = 2000
"""Number of files, evenly spaced, that are read of a collection of more than READ_LIMIT bytes."""
_PIECE = 2**20
"""Bytes that are read at once, and the most that is read of a sampled file."""


def hash_tensors(tensors: Iterable[Tensor]) -> str:
    """Return the hash of types, shapes and values, 32 hex digits."""
    digest = _new()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str} {list(array.shape)};".encode())
        digest.update(array.reshape(-1).view("u1").data)
    return digest.hexdigest()


def hash_text(texts: Iterable[str]) -> str:
    """Return the hash of a sequence of strings, 32 hex digits."""
    digest = _new()
    for text in texts:
        digest.update(os.fsencode(text) + b"\0")
    return digest.hexdigest()


def hash_files(paths: Sequence[str | Path], labels: Tensor) -> str:
    """Return the hash of the files' content and labels in order, 32 hex digits.

    Sizes count for all files. Up to READ_LIMIT bytes in total, so does every byte; beyond that, the first MiB of
    SAMPLED files, evenly spaced. Raises DataError for a file that cannot be read.
    """
    digest = _new()
    try:
        sizes = [os.stat(path).st_size for path in paths]
        digest.update(repr((sizes, labels.tolist())).encode())
        whole = sum(sizes) <= READ_LIMIT
        chosen = paths if whole else paths[:: max(1, len(paths) // SAMPLED)]
        for path in chosen:
            for piece in islice(_pieces(path), None if whole else 1):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _pieces(path: str | Path) -> Iterator[bytes]:
    """Yield the content of a file, _PIECE bytes at a time."""
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _new() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)
