from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sdk
from sdk.catalog import bundled_models
from tests.support.command import QUICK, run
from zoo.artifacts.evaluate import evaluate_artifact


def test_an_own_model_is_compared_with_its_own_record(tmp_path: Path, own_models_folder: Path) -> None:
    assert run("train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run")).exit_code == 0
    with pytest.warns(sdk.ShadowedModelWarning):
        own = evaluate_artifact("gridnet-digits")
    bundled = evaluate_artifact("bundled:gridnet-digits")
    assert own["origin"] == str(own_models_folder / "gridnet-digits")
    assert bundled["origin"] == str(bundled_models()["gridnet-digits"])
    assert own["reproduced"]
    assert bundled["reproduced"]
    assert own["accuracy"] < 0.9 < bundled["accuracy"]


def test_a_folder_that_appears_meanwhile_does_not_change_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load_data = evaluate_artifact.__globals__["load_data"]

    def appear(*given: object) -> object:
        shutil.copytree(bundled_models()["normnet-digits"], tmp_path / "gridnet-digits")
        return load_data(*given)

    monkeypatch.setitem(evaluate_artifact.__globals__, "load_data", appear)
    measured = evaluate_artifact("gridnet-digits")
    assert (measured["recorded_correct"], measured["reproduced"]) == (355, True)
