"""Networks and edits of their weights for the native backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.native import Retensor
from tests.support.snapshots import export


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Snapshots networks with each activation, with edges that lead back, and without an ensemble."""
    made = {}
    for name, options in {
        "tanh": {},
        "sigmoid": {"activation": "sigmoid"},
        "relu": {"activation": "relu"},
        "sweeps": {"routing": {"reciprocal": 0.2}, "sweeps": 3},
        "one sweep": {"sweeps": 1, "routing": {"reciprocal": 0}},
    }.items():
        made[name] = export(tmp_path_factory.mktemp(name.replace(" ", "-")), **options)[0]
    return made


@pytest.fixture
def retensor(reseal: Callable[[Path, str, bytes], None]) -> Retensor:
    """Replace tensors of an artifact and seal it again; None leaves one out."""
    from safetensors.numpy import load_file, save

    def change(folder: Path, **tensors: Any) -> None:
        stored = load_file(folder / "model.safetensors")
        for name, value in tensors.items():
            stored[name.replace("__", ".")] = value
        reseal(folder, "model.safetensors", save({name: t for name, t in stored.items() if t is not None}))

    return change
