from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from torch import nn

import sdk
import zoo.artifacts.writer
import zoo.utils.files
from sdk import InputSpec
from sdk.artifact import WEIGHTS_FILE, read_artifact
from tests.support.artifacts import SPEC, artifact_arguments, files_of
from zoo.artifacts.writer import write_artifact
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.utils.errors import ExportError

RECIPE = "model:\n  family: gridnet\nseed: 0"

SMALL: dict[str, Any] = {"grid": (4, 4, 4), "block": 2, "outer_steps": 3}


def arguments(spec: InputSpec = SPEC, **model: Any) -> dict[str, Any]:
    """Return the arguments of write_artifact for a small untrained gridnet."""
    metrics = {
        "test_accuracy": 0.25,
        "test_correct": 25,
        "test_total": 100,
        "test_interval_95": [0.175, 0.343],
        "seeds": 1,
    }
    return artifact_arguments(GridnetConfig(**{**SMALL, **model}), RECIPE, input_spec=spec, metrics=metrics)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"gated": True},
        {"separate_params": True},
        {"outer_residual": True},
        {"normalize": True, "inner_steps": 2},
        {"patch": PatchConfig(size=2, channels=3), "output_layers": 2},
    ],
    ids=["plain", "gated", "separate", "outer_residual", "normalised", "patch"],
)
def test_every_gridnet_survives_a_round_trip_bit_for_bit(tmp_path: Path, model: dict[str, Any]) -> None:
    given = arguments(**model)
    loaded = sdk.load(write_artifact(tmp_path / "tiny", **given), backend="torch")
    raw = np.random.default_rng(1).integers(0, 256, (5, 1, 4, 4), dtype=np.uint8)
    with torch.inference_mode():
        expected = given["module"](torch.from_numpy(SPEC.prepare(raw)[0])).numpy()
    np.testing.assert_array_equal(loaded.logits(raw), expected)
    for name, tensor in given["module"].state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], tensor)
    assert GridnetConfig.model_validate(loaded.config.model) == given["model_config"]


def test_the_artifact_is_complete_and_sealed_and_holds_its_provenance(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "tiny", **arguments())
    config = read_artifact(folder).config
    assert set(config.files) == {"README.md", "history.json", "model.safetensors", "recipe.yaml"}
    assert config.parameters == sum(p.numel() for p in arguments()["module"].parameters())
    assert (config.format_version, config.version, config.licence) == (1, "1.0.0", "MIT")
    assert config.provenance["recipe_sha256"] == hashlib.sha256((folder / "recipe.yaml").read_bytes()).hexdigest()
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["seed"] == 0


def test_the_weights_name_torch_as_their_framework(tmp_path: Path) -> None:
    with safe_open(write_artifact(tmp_path / "tiny", **arguments()) / WEIGHTS_FILE, framework="np") as weights:
        assert weights.metadata() == {"format": "pt"}


def test_writing_a_model_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    given = arguments()
    first, second = (write_artifact(tmp_path / name, **given) for name in ("one", "two"))
    assert files_of(first) == files_of(second)


def test_the_trained_module_is_not_changed(tmp_path: Path) -> None:
    given = arguments()
    given["module"].train()
    write_artifact(tmp_path / "tiny", **given)
    assert given["module"].training


def test_weights_in_another_memory_layout_are_stored_row_major(tmp_path: Path) -> None:
    given = arguments()
    readout = given["module"].readout
    readout.weight = nn.Parameter(readout.weight.detach().T.contiguous().T)
    assert not readout.weight.is_contiguous()
    loaded = sdk.load(write_artifact(tmp_path / "tiny", **given), backend="torch")
    assert torch.equal(loaded.module.readout.weight, readout.weight)


def test_tied_weights_are_stored_under_both_names(tmp_path: Path) -> None:
    given = arguments()
    norm = given["module"].norm
    norm.weight = norm.bias
    state = sdk.load(write_artifact(tmp_path / "tiny", **given), backend="torch").module.state_dict()
    assert torch.equal(state["norm.weight"], norm.bias)
    assert torch.equal(state["norm.bias"], norm.bias)


def test_missing_parent_folders_are_created(tmp_path: Path) -> None:
    assert sdk.load(write_artifact(tmp_path / "a" / "b" / "tiny", **arguments())).name == "tiny"


@pytest.mark.parametrize("name", ["", "Tiny", "-tiny", "a/b", "../tiny", "tiny\n"])
def test_a_name_outside_the_pattern_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="must match"):
        write_artifact(tmp_path / "tiny", **{**arguments(), "name": name})
    assert files_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"loss": float("nan")}}, "config.json takes plain finite JSON values only"),
        ({"metrics": {"loss": torch.tensor(1.0)}}, "config.json takes plain finite JSON values only"),
        (
            {"labels": []},
            "the written artifact does not load: config.json: labels must name at least one class",
        ),
        (
            {"labels": ["a", "b"]},
            r"the written artifact does not load: model.safetensors: tensor readout\.weight is",
        ),
        ({"input_spec": InputSpec("table", (4,), (0.0,) * 4, (1.0,) * 4)}, "gridnet takes images"),
        ({"model_config": GridnetConfig(**{**SMALL, "gated": True})}, "does not load: model.safetensors: "),
        (
            {"model_config": GridnetConfig(**{**SMALL, "outer_steps": 4})},
            "the artifact's logits differ from the trained module's by .*, allowed 0",
        ),
    ],
)
def test_an_unloadable_artifact_is_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        write_artifact(tmp_path / "tiny", **{**arguments(), **changes})
    assert "\n" not in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.full((4, 4, 1), torch.nan), "tensor readout_norm.bias holds NaN or infinite values"),
        (torch.zeros(4, 4, 1, dtype=torch.float64), "tensor readout_norm.bias is torch.float64; .* float32"),
        (torch.zeros(4, 4, 1, dtype=torch.bfloat16), "tensor readout_norm.bias is torch.bfloat16"),
    ],
)
def test_weights_that_are_not_finite_float32_are_refused(tmp_path: Path, tensor: torch.Tensor, message: str) -> None:
    given = arguments()
    given["module"].readout_norm.bias = nn.Parameter(tensor)
    with pytest.raises(ExportError, match=message):
        write_artifact(tmp_path / "tiny", **given)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_artifact_is_replaced_only_on_request(tmp_path: Path) -> None:
    out = write_artifact(tmp_path / "tiny", **arguments())
    before = files_of(tmp_path)
    newer = {**arguments(), "metrics": {"test": {"accuracy": 0.75}}}
    with pytest.raises(ExportError, match=r"tiny exists; replace it with --overwrite \(overwrite=True in Python\), or"):
        write_artifact(out, **newer)
    assert files_of(tmp_path) == before
    write_artifact(out, **newer, overwrite=True)
    assert sdk.load(out).metrics == {"test": {"accuracy": 0.75}}
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


FAILURES = {
    "weights": (zoo.artifacts.writer, "save_file"),
    "card": (zoo.artifacts.writer, "card_text"),
    "seal": (zoo.artifacts.writer, "seal"),
    "check": (zoo.artifacts.writer, "check_loads_back"),
    "sync": (zoo.utils.files, "_sync_tree"),
}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("stage", FAILURES)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_leaves_the_old_artifact_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, error: BaseException, overwrite: bool
) -> None:
    if overwrite:
        write_artifact(tmp_path / "tiny", **arguments())
    before = files_of(tmp_path)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(*FAILURES[stage], fail)
    expected = ExportError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_artifact(tmp_path / "tiny", **arguments(gated=True), overwrite=overwrite)
    assert files_of(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == int(overwrite)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("which", [1, 2])
def test_a_failed_rename_puts_the_old_artifact_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, which: int
) -> None:
    write_artifact(tmp_path / "tiny", **arguments())
    before = files_of(tmp_path)
    real, calls = os.rename, []

    def rename(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == which:
            raise error
        real(source, target)

    monkeypatch.setattr(zoo.utils.files, "exchange", lambda one, other: False)  # as on Windows
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises((ExportError, KeyboardInterrupt)):
        write_artifact(tmp_path / "tiny", **arguments(gated=True), overwrite=True)
    assert files_of(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_the_old_artifact_stays_until_the_new_one_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_artifact(tmp_path / "tiny", **arguments())
    removed = []

    def remove(path: Path, **_: object) -> None:
        if path.suffix == ".probe":
            return
        removed.append(path)
        assert sdk.load(tmp_path / "tiny").config.model["gated"] is True
        assert sdk.load(path).config.model["gated"] is False

    monkeypatch.setattr(shutil, "rmtree", remove)
    write_artifact(tmp_path / "tiny", **arguments(gated=True), overwrite=True)
    assert len(removed) == 1
