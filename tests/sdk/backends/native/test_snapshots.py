"""Snapshots networks in the native backend: the bits of torch in every mode, and weights that are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk import ArtifactError
from tests.support.native import Retensor, check_same_bits, each_isa
from tests.support.snapshots import IMAGES


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "sweeps", "one sweep"])
def test_snapshots_give_the_bits_of_torch_in_every_mode(name: str, networks: dict[str, Path], threads: int) -> None:
    native = sdk.load(networks[name], backend="native", threads=threads)
    other = sdk.load(networks[name], backend="torch")
    for _ in each_isa():
        check_same_bits(native, other)
    for mode in ("weighted", "progressive", "final", "coarse", "medium", "fine", 0, 1, 2, 3):
        found, wanted = (model.logits(IMAGES, mode=mode) for model in (native, other))  # type: ignore[call-arg]
        assert found.tobytes() == wanted.tobytes(), mode


def test_a_network_without_an_ensemble_answers_itself(
    networks: dict[str, Path], tmp_path: Path, retensor: Retensor
) -> None:
    folder = shutil.copytree(networks["sweeps"], tmp_path / "tiny")
    retensor(folder, mixture=np.zeros(8, np.float32))
    check_same_bits(sdk.load(folder, backend="native", threads=1), sdk.load(folder, backend="torch"))


def test_a_phase_may_say_until_when_it_grows(
    networks: dict[str, Path], tmp_path: Path, edit_config: Callable[..., None]
) -> None:
    folder = shutil.copytree(networks["tanh"], tmp_path / "tiny")
    model = json.loads((folder / "config.json").read_text())["model"]
    first, *rest = model["phases"]
    edit_config(folder, model={**model, "phases": [{**first, "grow_until": 9}, *rest]})
    check_same_bits(sdk.load(folder, backend="native", threads=1), sdk.load(networks["tanh"], backend="torch"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden", []), ("hidden", [5]), ("hidden", [0, 4]), ("hidden", [9000]), ("hidden", 5), ("activation", "silu"),
        ("sweeps", 0), ("sweeps", 9), ("max_density", 0), ("max_density", 1.5), ("max_density", 0.5), ("phases", []),
        ("phases", [{"name": "a"}]), ("phases", [{"name": "a", "until": 5, "structures": 1, "snapshots": 65}]),
        ("stabilisation", -1), ("stabilisation", 3), ("rules", 13),
    ],
)  # fmt: skip
def test_a_snapshots_config_that_torch_refuses_is_refused(
    networks: dict[str, Path], tmp_path: Path, edit_config: Callable[..., None], key: str, value: Any
) -> None:
    folder = shutil.copytree(networks["tanh"], tmp_path / "tiny")
    model = json.loads((folder / "config.json").read_text())["model"]
    edit_config(folder, model={**model, key: value})
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError, match=r"^[^\n]*(config\.json|model\.safetensors)"):
            sdk.load(folder, backend=backend)


def changed(index: int, value: float) -> Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    def change(tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        copy = tensor.copy()
        copy.reshape(-1)[index] = value
        return copy

    return change


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("source", changed(0, -1)), ("source", changed(0, 99)), ("source", changed(0, 2**30)),
        ("target", changed(0, 0)),
        ("target", changed(0, -5)), ("target", changed(0, 99)), ("source", lambda s: np.full_like(s, 0)),
        ("edges", changed(0, 0)), ("edges", changed(0, 10**6)), ("edges", changed(0, -1)),
        ("snapshots.facts", changed(0, 0)), ("snapshots.facts", changed(0, 10**6)), ("snapshots.facts", changed(2, 7)),
        ("snapshots.facts", changed(1, -1)), ("snapshots.values", lambda v: v[1:]), ("mixture", changed(1, -0.5)),
        ("mixture", changed(-1, 0.5)), ("bias", lambda b: b[1:]), ("weight", lambda w: w.astype(np.float16)),
        ("threshold", lambda t: None),
    ],
)  # fmt: skip
def test_weights_of_snapshots_that_torch_refuses_are_refused(
    networks: dict[str, Path], tmp_path: Path, retensor: Retensor, tensor: str, change: Callable[..., Any]
) -> None:
    from safetensors.numpy import load_file

    folder = shutil.copytree(networks["tanh"], tmp_path / "tiny")
    retensor(folder, **{tensor.replace(".", "__"): change(load_file(folder / "model.safetensors")[tensor])})
    reasons = []
    for backend in ("torch", "native"):
        with pytest.raises(ArtifactError, match=r"model\.safetensors: ") as caught:
            sdk.load(folder, backend=backend)
        reasons.append(str(caught.value))
    assert reasons[0].split(": ")[1] == reasons[1].split(": ")[1]
