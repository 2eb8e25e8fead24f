"""Smaller files of a trained model: written, measured, loaded and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import sdk
import zoo.artifacts.precision
from sdk import ArtifactError
from sdk.artifact import read_artifact
from sdk.backends import choose_backend
from sdk.resolve import find_model
from tests.support.command import fails, run, runs
from tests.support.onnx_models import write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a shipped gridnet with both smaller files."""
    folder = tmp_path_factory.mktemp("models") / "gridnet-digits"
    shutil.copytree(find_model("gridnet-digits"), folder)
    for precision in ("fp16", "int8"):
        runs("export", str(folder), "--precision", precision, "--quiet")
    return folder


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_file_is_sealed_loaded_and_described(model: Path, precision: str) -> None:
    artifact = read_artifact(model)
    file, backend = f"model-{precision}.onnx", f"onnx-{precision}"
    facts = artifact.config.metrics["precisions"][precision]
    assert artifact.config.files[file].size == facts["bytes"] < 0.62 * facts["full_bytes"]
    assert facts["calibration"] == (256 if precision == "int8" else 0)
    loaded = sdk.load(model, backend=backend)
    assert loaded.backend == backend
    digits = load_digits().images[:200] / 16
    same = np.equal(loaded.predict(digits), sdk.load(model).predict(digits))
    assert same.mean() >= 0.98
    with pytest.raises(sdk.InputError, match="shape"):
        loaded.predict(np.zeros((9, 9), np.uint8))
    card = (model / "README.md").read_text()
    assert f"| {precision} | {facts['bytes']:,} (float32: {facts['full_bytes']:,}) | " in card
    assert 'backend="onnx-fp16"' in card


def test_auto_still_chooses_the_full_file_and_others_are_unchanged(model: Path) -> None:
    before = read_artifact(find_model("gridnet-digits")).config
    after = read_artifact(model).config
    assert {path: after.files[path] for path in before.files if path != "README.md"} == {
        path: record for path, record in before.files.items() if path != "README.md"
    }
    assert set(after.files) == {*before.files, "model-fp16.onnx", "model-int8.onnx"}
    assert {**after.metrics, "precisions": None} == {**before.metrics, "precisions": None}
    assert after.provenance == before.provenance
    assert sdk.load(model).backend not in ("onnx-fp16", "onnx-int8")
    alone = replace(after, files={"model-int8.onnx": after.files["model-int8.onnx"]})
    assert choose_backend(alone, "auto") == "onnx-int8"


def test_eval_compares_a_smaller_file_with_its_own_counts(model: Path) -> None:
    found = json.loads(runs("eval", str(model), "--backend", "onnx-int8", "--json"))
    facts = read_artifact(model).config.metrics["precisions"]["int8"]
    assert found["recorded_correct"] == facts["test_correct"] == found["correct"]
    assert found["reproduced"]


def test_an_altered_smaller_file_is_refused(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(model, folder)
    content = bytearray((folder / "model-int8.onnx").read_bytes())
    content[1000] ^= 1
    (folder / "model-int8.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model-int8.onnx was altered or damaged"):
        sdk.load(folder, backend="onnx-int8")


def test_a_model_that_loses_too_much_is_refused_and_unchanged(tmp_path: Path) -> None:
    folder = tmp_path / "normnet-digits"
    shutil.copytree(find_model("normnet-digits"), folder)
    command = ("export", str(folder), "--precision", "int8", "--quiet")
    line = fails(1, *command, "--max-drop", "0")
    assert "normnet-digits in int8: found a validation accuracy of " in line
    assert "of float32, allowed 0; allow more with --max-drop" in line
    assert read_artifact(folder).config == read_artifact(find_model("normnet-digits")).config
    assert f"int8: {folder / 'model-int8.onnx'}" in runs(*command, "--max-drop", "5")


def test_a_separate_file_leaves_the_artifact_alone(tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    command = ("export", "cellnet-digits", "--precision", "fp16", "--out", str(out), "--quiet")
    lines = runs(*command).splitlines()
    assert lines[0].startswith(f"fp16: {out} ({out.stat().st_size:,} bytes, float32 ")
    assert lines[1].startswith("validation accuracy ")
    assert lines[2].startswith("64 inputs: ")
    assert f"{out} exists" in fails(1, *command)
    elsewhere = str(tmp_path / "missing" / "small.onnx")
    assert "no folder" in fails(1, *command[:5], elsewhere, "--quiet")
    assert run(*command, "--overwrite").exit_code == 0


def test_a_file_that_would_not_be_smaller_is_refused() -> None:
    assert "nca-iris in fp16: found 788 bytes, no fewer than the 788 of float32; use model.onnx" in fails(
        1, "export", "nca-iris", "--precision", "fp16", "--quiet"
    )


def test_a_model_without_its_data_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny")  # its recipe names a data set of other classes
    line = fails(1, "export", str(folder), "--precision", "int8", "--quiet")
    assert "the data set digits does not have the classes of tiny" in line


def test_a_model_without_validation_samples_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = zoo.artifacts.precision.load_matching_data

    def without(*arguments: object) -> object:
        data = load(*arguments)  # type: ignore[arg-type]
        data.validation.labels = data.validation.labels[:0]
        return data

    monkeypatch.setattr(zoo.artifacts.precision, "load_matching_data", without)
    line = fails(1, "export", "cellnet-digits", "--precision", "fp16", "--out", str(tmp_path / "a.onnx"), "--quiet")
    assert "found no validation samples to measure the accuracy on" in line


@pytest.mark.parametrize("points", ["nan", "-nan"])
def test_a_drop_that_is_not_a_number_is_refused(points: str, tmp_path: Path) -> None:
    command = ("export", "normnet-digits", "--precision", "int8", "--out", str(tmp_path / "a.onnx"), "--quiet")
    assert "max_drop: found nan, allowed 0 to 100 points" in fails(1, *command, "--max-drop", points)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-drop", "1"], "--max-drop is for --precision"),
        (["--precision", "int8", "--preprocessing", "--out", "a.onnx"], "--precision takes neither --preprocessing"),
        (["--precision", "int8", "--max-drop", "-1"], "-1.0 is not in the range 0<=x<=100"),
        (["--precision", "int4"], "'int4' is not one of 'fp16', 'int8'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], message: str) -> None:
    assert message in fails(2, "export", "nca-iris", *options)
