from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import sdk
from sdk import ArtifactError

Reseal = Callable[[Path, str, bytes], None]
WEIGHTS = "model.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bias"), "the model needs tensors that are missing: bias"),
        (lambda t: t.update(extra=np.zeros(1)), "tensors the model does not have: extra"),
        (lambda t: t.update(grid_init=np.zeros((4, 4, 5), np.float32)),
         r"tensor grid_init is float32 \[4, 4, 5\], the model needs float32 \[4, 4, 4\]"),
        (lambda t: t.update(grid_init=t["grid_init"].astype(np.float64)),
         r"tensor grid_init is float64 \[4, 4, 4\], the model needs float32"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_the_model_are_named(
    artifact: Path, reseal: Reseal, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    tensors = load((artifact / WEIGHTS).read_bytes())
    change(tensors)
    reseal(artifact, WEIGHTS, save(tensors))
    with pytest.raises(ArtifactError, match=message):
        sdk.load(artifact)


def header(tensors: object, data: bytes = b"") -> bytes:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        header(b"{broken"),
        header({"bias": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        header({"bias": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}, b"\0" * 8),
        header({"bias": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}),
        header({"bias": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8),
        header({"bias": {"dtype": "pickle", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
    ],
)
def test_a_damaged_or_dishonest_header_is_refused(artifact: Path, reseal: Reseal, content: bytes) -> None:
    reseal(artifact, WEIGHTS, content)
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not a valid safetensors file"):
        sdk.load(artifact)


def test_altered_weights_are_refused_by_their_hash(artifact: Path) -> None:
    (artifact / WEIGHTS).write_bytes(b"\0" * (artifact / WEIGHTS).stat().st_size)
    with pytest.raises(ArtifactError, match=r"model\.safetensors was altered or damaged"):
        sdk.load(artifact)
