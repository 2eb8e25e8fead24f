"""A trained network as an artifact: exact reconstruction, and refusal of inconsistent files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import sdk
from sdk import ArtifactError
from tests.support.snapshots import Trained, export


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return export(tmp_path_factory.mktemp("artifact"))


def test_one_safetensors_file_holds_base_deltas_and_history(artifact: Trained) -> None:
    tensors = load_file(artifact[0] / "model.safetensors")
    assert {"weight", "bias", "source", "target", "edges", "events", "mixture", "threshold"} <= set(tensors)
    assert {f"snapshots.{name}" for name in ("base", "index", "value", "sizes", "facts", "accuracy")} <= set(tensors)


def test_snapshots_are_reconstructed_from_the_file_bit_for_bit(artifact: Trained) -> None:
    module = sdk.load(artifact[0], backend="torch").module
    for number in range(4):
        saved, found = artifact[1].snapshots[number].values, module.snapshots[number].values
        assert torch.equal(saved.view(torch.int32), found.view(torch.int32))


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        ("edges", np.array(10**6, np.int32), "edges: found 1000000"),
        ("source", -1, "source, target: found units outside"),
        ("snapshots.sizes", 2**30, r"snapshots\.sizes: delta 0 has 1073741824 values"),
        ("snapshots.index", 2**30, r"snapshots\.index: delta 0 refers to values outside"),
    ],
)
def test_a_file_with_inconsistent_tensors_is_refused(
    artifact: Trained, tmp_path: Path, tensor: str, value: Any, message: str
) -> None:
    path = copy_of(artifact, tmp_path)
    tensors = load_file(path / "model.safetensors")
    if isinstance(value, np.ndarray):
        tensors[tensor] = value
    else:
        tensors[tensor].flat[0] = value
    save_file(tensors, path / "model.safetensors")
    _reseal(path, "model.safetensors")
    with pytest.raises(ArtifactError, match=rf"model\.safetensors: {message}"):
        sdk.load(path, backend="torch")


def test_a_file_with_more_slots_than_its_config_allows_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    tensors = load_file(path / "model.safetensors")
    tensors["weight"] = np.zeros(10**5, np.float32)
    save_file(tensors, path / "model.safetensors")
    _reseal(path, "model.safetensors")
    with pytest.raises(ArtifactError, match=r"tensor weight is float32 \[100000\], the model needs float32"):
        sdk.load(path, backend="torch")


def test_a_config_of_a_network_far_larger_than_its_weights_file_is_refused(artifact: Trained, tmp_path: Path) -> None:
    path = copy_of(artifact, tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["model"]["hidden"] = [8192] * 8
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="far larger than its weights file"):
        sdk.load(path, backend="torch")


def copy_of(artifact: Trained, folder: Path) -> Path:
    return Path(shutil.copytree(artifact[0], folder / "tiny"))


def _reseal(folder: Path, path: str) -> None:
    """Record the hash of a changed file in config.json."""
    config = json.loads((folder / "config.json").read_text())
    content = (folder / path).read_bytes()
    config["files"][path] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "config.json").write_text(json.dumps(config))
