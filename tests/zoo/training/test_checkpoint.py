from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from zoo.utils.errors import CheckpointError

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.dictionaries(
    st.text(),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=8,
    ),
)


@given(trees)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_plain_values_survive_a_round_trip(tmp_path: Path, state: dict[str, Any]) -> None:
    save_checkpoint(tmp_path, state)
    assert load_checkpoint(tmp_path) == state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_survive_a_round_trip_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = (torch.randn(3, 4) * 10).to(dtype)
    save_checkpoint(tmp_path, {"a": [tensor, {"b": tensor[1]}], "step": torch.tensor(7.0)})
    state = load_checkpoint(tmp_path)
    assert state["a"][0].dtype == dtype
    assert torch.equal(state["a"][0], tensor)
    assert torch.equal(state["a"][1]["b"], tensor[1])
    assert state["step"].shape == ()


def test_shared_and_transposed_tensors_can_be_saved(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).view(2, 3)
    save_checkpoint(tmp_path, {"tied": tensor, "same": tensor, "transposed": tensor.T})
    state = load_checkpoint(tmp_path)
    assert torch.equal(state["same"], tensor)
    assert torch.equal(state["transposed"], tensor.T)


def test_an_optimizer_state_survives_a_round_trip(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path, optimizer.state_dict())
    restored = torch.optim.AdamW([parameter])
    restored.load_state_dict(load_checkpoint(tmp_path))
    assert str(restored.state_dict()) == str(optimizer.state_dict())


def test_a_checkpoint_is_a_single_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 1})
    save_checkpoint(tmp_path, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    assert load_checkpoint(tmp_path) == {"step": 2}


def test_a_failed_write_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, {"step": 1})

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.utils.files.sync", fail)
    with pytest.raises(CheckpointError, match="No space left on device; the previous checkpoint stays"):
        save_checkpoint(tmp_path, {"step": 2})
    assert load_checkpoint(tmp_path) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]


def test_objects_are_refused_rather_than_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"found \w*Path, expected tensors and plain values only"):
        save_checkpoint(tmp_path, {"path": tmp_path})
    assert not list(tmp_path.iterdir())


def test_a_missing_checkpoint_fails_with_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*: nothing to resume"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_checkpoint_is_reported_as_damaged(tmp_path: Path, keep: int) -> None:
    save_checkpoint(tmp_path, {"weights": torch.ones(100)})
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("state", ["{", '{"dict": 3}', '{"dict": [["a", {"tensor": "9"}]]}', "{}"])
def test_an_undecodable_state_is_reported_as_damaged(tmp_path: Path, state: str) -> None:
    save_file({}, tmp_path / CHECKPOINT_FILE, metadata={"format": "1", "state": state})
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("found", [None, "2"])
def test_another_format_is_refused(tmp_path: Path, found: str | None) -> None:
    header = json.dumps({"__metadata__": {"format": found}} if found else {}).encode()
    (tmp_path / CHECKPOINT_FILE).write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(CheckpointError, match=f"found checkpoint format {found}, this version reads format 1"):
        load_checkpoint(tmp_path)
