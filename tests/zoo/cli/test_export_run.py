"""``zoo export --run`` and ``zoo train --check-data``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo.artifacts.from_run
import zoo.training.loop
from tests.support.command import QUICK, fails, run
from tests.support.training import interrupted_after_saving
from zoo.utils.errors import ExportError

SEEDS = ["-o", "train.epochs=1", "-o", "model.hidden=[8]", "--quiet", "--seeds", "2"]


def test_a_finished_run_is_exported_again_without_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, first, second = tmp_path / "run", tmp_path / "first", tmp_path / "second"
    result = run("train", "normnet-digits", *SEEDS, "--out", str(first), "--run-dir", str(folder))
    assert result.exit_code == 0, result.output

    def no_training(*given: object) -> None:
        raise AssertionError("a finished run was trained")

    monkeypatch.setattr(zoo.training.loop, "train_steps", no_training)
    result = run("export", "--run", str(folder), "--out", str(second), "--quiet")
    assert result.exit_code == 0, result.output
    for file in ("model.safetensors", "model.onnx", "recipe.yaml", "history.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    measured = [json.loads((out / "config.json").read_text())["metrics"] for out in (first, second)]
    assert measured[0] == measured[1]
    assert measured[0]["seeds"] == 2
    line = fails(1, "export", "--run", str(folder), "--out", str(second))
    assert f"{second} exists" in line


def test_a_run_whose_export_failed_is_exported_into_the_own_models(
    tmp_path: Path, own_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def full(*given: object, **options: object) -> Path:
        raise ExportError("cannot write: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(zoo.artifacts.from_run, "write_artifact", full)
        result = run("train", "gridnet-digits", *QUICK, "--run-dir", str(folder))
    assert result.exit_code == 1
    assert "the disk is full; the finished run is kept" in result.stderr
    result = run("export", "--run", str(folder))
    assert result.exit_code == 0, result.output
    assert (own_models_folder / "gridnet-digits" / "model.onnx").is_file()


def test_an_unfinished_run_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    with interrupted_after_saving(monkeypatch):
        run("train", "gridnet-digits", *QUICK, "-o", "train.epochs=2", "--run-dir", str(folder))
    line = fails(1, "export", "--run", str(folder), "--out", str(tmp_path / "out"))
    assert f"{folder} has stopped at step 20 of 40; finish it with `zoo train --resume {folder}`" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [["gridnet-digits"], ["--preprocessing"], ["--member", "coarse"]])
def test_a_run_excludes_the_options_of_a_model(more: list[str], tmp_path: Path) -> None:
    assert (
        "--run RUN_DIR takes --out, --overwrite and --data-dir" in run("export", "--run", str(tmp_path), *more).stderr
    )


def test_a_folder_without_a_run_and_a_command_without_a_model_are_refused(tmp_path: Path) -> None:
    assert "nothing to resume" in fails(1, "export", "--run", str(tmp_path))
    assert "Missing argument 'MODEL', or --run RUN_DIR" in run("export").stderr


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_check_data_finds_an_image_with_a_sound_header_and_a_damaged_body(tmp_path: Path, part: str) -> None:
    rng, photos = np.random.default_rng(0), tmp_path / "photos"
    for place in ("train", "val", "test"):
        for label in ("a", "b"):
            (photos / place / label).mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(photos / place / label / f"{number}.png")
    damaged = photos / part / "b" / "1.png"
    content = damaged.read_bytes()
    middle = len(content) // 2
    damaged.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    command = ["train", "normnet-digits", "--data", str(photos), "-o", "train.epochs=1", "--quiet"]
    out, folder = tmp_path / "out", tmp_path / "run"
    line = fails(1, *command, "--check-data", "--out", str(out), "--run-dir", str(folder))
    assert f"{part}/b/1.png" in line
    assert "data.on_error: skip" in line
    assert not out.exists()
    shutil.rmtree(folder, ignore_errors=True)
    result = run(*command, "--check-data", "-o", "data.on_error=skip", "--out", str(out), "--run-dir", str(folder))
    assert result.exit_code == 0, result.output
