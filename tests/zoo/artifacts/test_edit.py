"""Changes of a trained model that meet another change of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdk.artifact import read_artifact
from sdk.resolve import find_model
from tests.support.artifacts import files_of
from tests.support.command import runs
from zoo.artifacts.edit import changing, open_stored
from zoo.utils.errors import ExportError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(find_model("mlp-digits"), tmp_path / "mlp-digits"))


def change(model: Path) -> None:
    runs("export", str(model), "--precision", "fp16", "--quiet")


MEANWHILE = r"mlp-digits: another command changed the model meanwhile; repeat this one"


def test_a_change_does_not_undo_one_that_was_made_before_it_began(model: Path) -> None:
    stored = open_stored(str(model))
    change(model)
    before = files_of(model)
    with pytest.raises(ExportError, match=MEANWHILE), changing(stored, stored.config):
        pass
    assert files_of(model) == before
    assert "model-fp16.onnx" in read_artifact(model).config.files


def test_a_change_does_not_undo_one_that_is_made_meanwhile(model: Path) -> None:
    stored = open_stored(str(model))
    with pytest.raises(ExportError, match=MEANWHILE), changing(stored, stored.config):
        change(model)
    assert "model-fp16.onnx" in read_artifact(model).config.files


def test_a_change_after_another_holds_both(model: Path) -> None:
    for precision in ("fp16", "int8"):
        runs("export", str(model), "--precision", precision, "--max-drop", "100", "--quiet")
    found = read_artifact(model).config
    assert {"model-fp16.onnx", "model-int8.onnx"} <= found.files.keys()
    assert found.metrics["precisions"].keys() == {"fp16", "int8"}
