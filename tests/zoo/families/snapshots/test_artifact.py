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
from tests.support.snapshots import IMAGES, Trained, export, four_snapshots, with_deltas

EXPORTS = Path(__file__).parents[4] / "exports"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return export(tmp_path_factory.mktemp("artifact"))


def test_one_safetensors_file_holds_snapshots_and_history(artifact: Trained) -> None:
    tensors = load_file(artifact[0] / "model.safetensors")
    assert {"weight", "bias", "source", "target", "edges", "events", "mixture", "threshold"} <= set(tensors)
    assert {f"snapshots.{name}" for name in ("values", "facts", "accuracy")} <= set(tensors)


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


def _store_deltas(path: Path, **changes: int) -> None:
    """Rewrite an artifact's weights in the older form, with the first value of some tensors replaced."""
    tensors = with_deltas(load_file(path / "model.safetensors"))
    for name, value in changes.items():
        tensors[f"snapshots.{name}"].flat[0] = value
    save_file(tensors, path / "model.safetensors")
    _reseal(path, "model.safetensors")


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_a_file_with_deltas_gives_the_bits_of_one_with_snapshots(
    artifact: Trained, tmp_path: Path, backend: str
) -> None:
    path = copy_of(artifact, tmp_path)
    _store_deltas(path)
    older, newer = (sdk.load(folder, backend=backend) for folder in (path, artifact[0]))
    for mode in ("weighted", 0, 1, 2, 3):
        assert older.logits(IMAGES, mode=mode).tobytes() == newer.logits(IMAGES, mode=mode).tobytes()  # type: ignore[call-arg]
    assert (path / "model.safetensors").stat().st_size > (artifact[0] / "model.safetensors").stat().st_size


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": 2**30}, r"snapshots\.sizes: delta 0 has 1073741824 values"),
        ({"sizes": -1}, r"snapshots\.sizes: delta 0 has -1 values"),
        ({"index": 2**30}, r"snapshots\.index: delta 0 refers to values outside"),
        ({"index": -1}, r"snapshots\.index: delta 0 refers to values outside"),
        ({"facts": 0}, r"snapshots\.facts: found .* in row 0"),
    ],
)
def test_a_file_with_inconsistent_deltas_is_refused(
    artifact: Trained, tmp_path: Path, backend: str, changes: dict[str, int], message: str
) -> None:
    path = copy_of(artifact, tmp_path)
    _store_deltas(path, **changes)
    with pytest.raises(ArtifactError, match=rf"model\.safetensors: {message}"):
        sdk.load(path, backend=backend)


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ("base index value sizes values", "tensors the model does not have: snapshots.values"),
        ("base index value", "tensors that are missing: snapshots.sizes"),
        ("", "tensors that are missing: snapshots.values"),
    ],
)
def test_a_file_in_neither_form_is_refused(
    artifact: Trained, tmp_path: Path, backend: str, kept: str, message: str
) -> None:
    path = copy_of(artifact, tmp_path)
    newer = load_file(path / "model.safetensors")
    both = with_deltas(newer) | newer
    names = {f"snapshots.{name}" for name in ("facts", "accuracy", *kept.split())}
    save_file({k: v for k, v in both.items() if "." not in k or k in names}, path / "model.safetensors")
    _reseal(path, "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        sdk.load(path, backend=backend)


@pytest.mark.parametrize("name", ["snapshots-digits", "snapshots-mnist"])
def test_a_shipped_file_with_deltas_gives_its_snapshots_bit_for_bit(name: str) -> None:
    tensors = load_file(EXPORTS / name / "model.safetensors")
    base, sizes = tensors["snapshots.base"], tensors["snapshots.sizes"]
    module = sdk.load(EXPORTS / name, backend="torch").module
    for number in range(len(module.snapshots)):
        values = base.copy()
        if number:
            index = tensors["snapshots.index"][number - 1, : sizes[number - 1]]
            values[index] = tensors["snapshots.value"][number - 1, : sizes[number - 1]]
        assert values.tobytes() == module.snapshots[number].values.numpy().tobytes()


def test_a_network_loads_a_state_with_deltas(artifact: Trained) -> None:
    net, _ = four_snapshots()
    state = {name: tensor.numpy() for name, tensor in artifact[1].state_dict().items()}
    older = {name: torch.from_numpy(array) for name, array in with_deltas(state).items()}
    net.snapshots.replace([])
    net.load_state_dict(older)
    assert torch.equal(net.snapshots.values, artifact[1].snapshots.values)
    assert "snapshots.base" in older  # the caller's state stays as it is


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
