"""Comparison of the native backend with torch, on every instruction set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import sdk
from sdk import InputSpec
from sdk.kernels import compiled

BATCHES = (0, 1, 7, 25, 64)
Retensor = Callable[..., None]
"""Replaces tensors of an artifact."""


def each_isa() -> Iterator[str]:
    """Use each instruction set in turn."""
    before = compiled().current_isa()
    try:
        for name in compiled().usable_isas():
            compiled().set_isa(name)
            yield name
    finally:
        compiled().set_isa(before)


def inputs(spec: InputSpec, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(count).normal(size=(count, *spec.shape)).astype(np.float32)


def check_same_bits(native: sdk.Model, other: sdk.Model) -> None:
    for count in BATCHES:
        x = inputs(native.input_spec, count)
        found, wanted = native._runner.logits(x), other._runner.logits(x)
        assert found.shape == (count, len(native.labels))
        assert found.tobytes() == wanted.tobytes(), f"batch of {count}: {np.abs(found - wanted).max()}"
