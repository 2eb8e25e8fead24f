"""The calls that every compiled network takes: numpy arrays in, fresh numpy arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.errors import ArtifactError, InputError
from sdk.inputs import FloatArray
from sdk.validation import check_keys, check_type, describe

LARGEST = 2**31 - 1
"""The largest integer of a config, so that no product of a few overflows before the weights are compared."""


class NetworkBackend:
    """Runs a compiled network; safe to call from several threads, whose calls take turns.

    ``source`` is the weights file, for errors, ``shape`` that of an input, ``classes`` the number of logits.
    """

    def __init__(self, source: str, shape: tuple[int, ...], classes: int, threads: int) -> None:
        self.source = source
        self.shape = shape
        self.classes = classes
        self.threads = threads

    def run(self, compute: Callable[[int, int, int, int], None], x: FloatArray) -> NDArray[np.float32]:
        """Return ``[B, classes]``, which ``compute(address of x, B, address of the result, threads)`` fills.

        Raises InputError for inputs of another shape, ArtifactError if memory runs out.
        """
        x = np.ascontiguousarray(x, np.float32)
        if x.shape[1:] != self.shape:
            raise InputError(f"inputs are {list(x.shape)}, the network takes [B, {', '.join(map(str, self.shape))}]")
        out = np.empty((len(x), self.classes), np.float32)
        try:
            compute(address(x), len(x), address(out), self.threads)
        except MemoryError as error:
            raise ArtifactError(f"{self.source}: not enough memory for {len(x)} inputs at once") from error
        return out


def address(array: NDArray[Any]) -> int:
    """Return the address of a contiguous array's data."""
    where: int = array.__array_interface__["data"][0]
    return where


def read_model(model: Mapping[str, Any], required: set[str], optional: set[str]) -> dict[str, Any]:
    """Return config.json's ``model`` if it has the required keys, any of the optional ones and no others."""
    return check_keys(dict(model), {"family", *required}, frozenset(optional), "model")


def count(value: object, name: str, least: int = 1, most: int = LARGEST) -> int:
    """Return an integer in a range; raises InputError."""
    number: int = check_type(value, int, f"model.{name}")
    if not least <= number <= most:
        raise InputError(f"model.{name}: found {number}, allowed {least} to {most}")
    return number


def positive(value: object, name: str) -> float:
    """Return a positive finite number; raises InputError."""
    number: float = check_type(value, float, f"model.{name}")
    if number <= 0:
        raise InputError(f"model.{name}: found {number}, should be greater than 0")
    return number


def flag(value: object, name: str) -> bool:
    """Return a bool; raises InputError."""
    if not isinstance(value, bool):
        raise InputError(f"model.{name}: found {describe(value)}, allowed true and false")
    return value


def choice(value: object, name: str, allowed: Mapping[str, int]) -> int:
    """Return the number of a word; raises InputError for an unknown one."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"model.{name}: found {describe(value)}, allowed: {', '.join(allowed)}")
    return allowed[value]
