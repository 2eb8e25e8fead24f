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


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_change_does_not_undo_one_that_was_made_meanwhile(model: Path, moment: str) -> None:
    stored = open_stored(str(model))
    command = ("export", str(model), "--precision", "fp16", "--quiet")
    if moment == "before":
        runs(*command)
    before = files_of(model)
    with (
        pytest.raises(ExportError, match=r"mlp-digits: another command changed the model meanwhile; repeat this one"),
        changing(stored, stored.config),
    ):
        if moment == "while":
            runs(*command)
            before = files_of(model)
    assert files_of(model) == before
    assert "model-fp16.onnx" in read_artifact(model).config.files


def test_a_change_after_another_holds_both(model: Path) -> None:
    for precision in ("fp16", "int8"):
        runs("export", str(model), "--precision", precision, "--max-drop", "100", "--quiet")
    found = read_artifact(model).config
    assert {"model-fp16.onnx", "model-int8.onnx"} <= found.files.keys()
    assert found.metrics["precisions"].keys() == {"fp16", "int8"}
