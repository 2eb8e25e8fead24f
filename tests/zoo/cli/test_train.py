from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo.training.loop
from tests.support.command import QUICK, fails, run


def test_train_writes_an_artifact_that_reproduces_its_accuracy_and_predicts(
    tmp_path: Path, digit_files: list[tuple[str, str]]
) -> None:
    out = tmp_path / "models" / "gridnet-digits"
    result = run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert "test accuracy" in result.output
    assert str(out) in result.output
    measured = json.loads(run("eval", str(out), "--json").output)
    assert measured["reproduced"]
    assert measured["total"] == 360
    predicted = json.loads(run("predict", str(out), *(path for path, _ in digit_files), "--json").output)
    assert list(predicted) == [path for path, _ in digit_files]


def test_train_refuses_before_it_starts_to_replace_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "gridnet-digits"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    line = fails(1, "train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "run"))
    assert str(out) in line
    assert not (tmp_path / "run").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_resumes_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, folder = tmp_path / "out", tmp_path / "run"
    arguments = ["train", "gridnet-digits", *QUICK, "-o", "train.epochs=2", "--out", str(out)]
    save = zoo.training.loop.save_checkpoint

    def stop_after_saving(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zoo.training.loop, "save_checkpoint", stop_after_saving)
        result = run(*arguments, "--run-dir", str(folder))
    assert result.exit_code == 130
    assert "--resume" in result.stderr
    assert not out.exists()
    assert run(*arguments, "--resume", str(folder)).exit_code == 0
    assert json.loads((out / "config.json").read_text())["provenance"]["steps"] == 40
