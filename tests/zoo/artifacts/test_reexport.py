from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import sdk
import zoo.artifacts.reexport
from sdk.artifact import hash_file, read_artifact
from sdk.resolve import find_model
from tests.support.artifacts import SPEC
from tests.support.onnx_models import run, write
from zoo.artifacts.random_inputs import random_inputs
from zoo.cli import cli
from zoo.config.data import AugmentConfig
from zoo.data.split import ArraySplit
from zoo.recipe import load_recipe


def _split(count: int) -> ArraySplit:
    images = torch.from_numpy(random_inputs(SPEC, count, seed=5))
    return ArraySplit(images, torch.zeros(count, dtype=torch.long), SPEC, AugmentConfig(), workers=0)


def test_a_failed_export_leaves_the_artifact_unchanged(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", formats=("safetensors",))
    before = read_artifact(folder).config
    elsewhere = ["--data-dir", str(tmp_path)]  # its recipe names a data set of 8x8 pixels and other classes
    result = CliRunner().invoke(cli, ["export", str(folder), *elsewhere])
    assert result.exit_code == 1
    assert "the data set digits does not have the classes of tiny: it lacks 'a', 'b', 'ü'" in result.output
    assert read_artifact(folder).config == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_adding_onnx_changes_nothing_else_in_the_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(zoo.artifacts.reexport, "_test_part", lambda recipe, data_dir: (_split(9), None))
    folder = write(tmp_path / "tiny", formats=("safetensors",))
    before = read_artifact(folder).config
    for _ in range(2):
        result = CliRunner().invoke(cli, ["export", str(folder)])
        assert result.exit_code == 0, result.output
        after = read_artifact(folder).config
        assert set(after.files) == {*before.files, "model.onnx"}
        assert after.files["model.safetensors"] == before.files["model.safetensors"]
        assert after.metrics == before.metrics
        recipe = load_recipe(folder / "recipe.yaml")
        assert recipe.export.formats == ("safetensors", "onnx")
        assert after.provenance["recipe_sha256"] == hash_file(folder / "recipe.yaml")
        assert "onnxruntime.InferenceSession" in (folder / "README.md").read_text()
        assert sdk.load(folder, backend="onnx").backend == "onnx"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_exporting_again_leaves_the_recipe_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.artifacts.reexport, "_test_part", lambda recipe, data_dir: (None, "the data is not here"))
    folder = tmp_path / "gridnet-digits"
    shutil.copytree(find_model("gridnet-digits"), folder)  # its recipe was written by an older version
    before = read_artifact(folder).config
    assert CliRunner().invoke(cli, ["export", str(folder)]).exit_code == 0
    after = read_artifact(folder).config
    assert after.files["recipe.yaml"] == before.files["recipe.yaml"]
    assert after.provenance == before.provenance


def test_export_writes_a_separate_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(zoo.artifacts.reexport, "_test_part", lambda recipe, data_dir: (None, "the data is not here"))
    folder, out = write(tmp_path / "tiny", formats=("safetensors",)), tmp_path / "raw.onnx"
    arguments = ["export", str(folder), "--preprocessing", "--out", str(out)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "note: not compared with torch on the test split: the data is not here" in result.output
    images = random_inputs(SPEC, 4)
    np.testing.assert_allclose(run(out, images), sdk.load(folder).predict_proba(images), atol=1e-6)
    assert "model.onnx" not in read_artifact(folder).config.files
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 1
    assert "raw.onnx exists; give another file, or replace it with --overwrite" in again.output
    assert CliRunner().invoke(cli, [*arguments, "--overwrite"]).exit_code == 0


def test_preprocessing_needs_a_separate_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(write(tmp_path / "tiny")), "--preprocessing"])
    assert result.exit_code == 2
    assert "give --out FILE for --preprocessing" in result.output
