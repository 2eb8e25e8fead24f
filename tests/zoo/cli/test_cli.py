"""The zoo command as a user types it: output, exit codes, errors on one line of stderr."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import zoo.cli.checks
from sdk.resolve import find_model
from zoo.cli import cli
from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.recipe import load_recipe

QUICK = ["-o", "train.epochs=1", "-o", "model.outer_steps=3", "-o", "data.augment={}", "--quiet"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), prog_name="zoo")


def fails(code: int, *arguments: str) -> str:
    """The one line that the failing command prints."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.fixture
def digit_files(tmp_path: Path) -> list[tuple[str, str]]:
    """(path, true label) of some held-out digits, as PNG files."""
    test = load_data(DigitsConfig(name="digits")).test
    files = []
    for i in range(8):
        image = (test.inputs[i, 0].numpy() * 255).round().astype(np.uint8)  # type: ignore[attr-defined]
        path = tmp_path / f"digit-{i}.png"
        Image.fromarray(image).save(path)
        files.append((str(path), str(int(test.labels[i]))))
    return files


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in (
        "list",
        "info",
        "train",
        "eval",
        "predict",
        "export",
        "probe",
        "card",
        "push",
        "pull",
        "bench",
        "doctor",
    ):
        assert command in result.output
        assert run(command, "--help").exit_code == 0


def test_list_shows_recipes_and_trained_models() -> None:
    result = run("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:]}
    assert "gridnet-imagenet" in rows
    assert "%" in rows["gridnet-digits"]
    parsed = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert parsed["gridnet-digits"]["accuracy"] > 0.9
    assert parsed["gridnet-imagenet"]["accuracy"] is None
    assert "no model of family 'gridnett'" in fails(1, "list", "--family", "gridnett")


def test_info_shows_recipe_and_model() -> None:
    result = run("info", "gridnet-digits")
    assert result.exit_code == 0
    for word in ("parameters     137,098", "test accuracy", "seed 0", "outer_steps: 8"):
        assert word in result.output
    assert set(json.loads(run("info", "gridnet-imagenet", "--json").output)) == {"recipe"}
    assert "no recipe or model named 'nothing'" in fails(1, "info", "nothing")


def test_info_shows_a_recipe_file(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(load_recipe("gridnet-digits").to_yaml())
    assert set(json.loads(run("info", str(recipe), "--json").output)) == {"recipe"}
    recipe.write_text(recipe.read_text().replace("epochs:", "epoch:"))
    assert "train.epoch: unknown key" in fails(1, "info", str(recipe))
    assert "no such recipe file" in fails(1, "info", str(tmp_path / "other.yaml"))


def test_train_writes_an_artifact_that_evaluates_to_what_it_records_and_predicts(
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


def test_train_refuses_to_replace_an_artifact_before_it_starts(tmp_path: Path) -> None:
    out = tmp_path / "gridnet-digits"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    line = fails(1, "train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "run"))
    assert str(out) in line
    assert not (tmp_path / "run").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_an_interrupted_run_is_resumed_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, folder = tmp_path / "out", tmp_path / "run"
    arguments = ["train", "gridnet-digits", *QUICK, "-o", "train.epochs=2", "--out", str(out)]
    from zoo.training import loop as training

    save = training.save_checkpoint

    def stop_after_saving(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", stop_after_saving)
        result = run(*arguments, "--run-dir", str(folder))
    assert result.exit_code == 130
    assert "--resume" in result.stderr
    assert not out.exists()
    assert run(*arguments, "--resume", str(folder)).exit_code == 0
    assert json.loads((out / "config.json").read_text())["provenance"]["steps"] == 40


def test_predict_reads_images_and_shows_the_likeliest_labels(digit_files: list[tuple[str, str]]) -> None:
    result = run("predict", "gridnet-digits", "--top", "2", *(path for path, _ in digit_files))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    right = sum(line.startswith(f"{path}: {label} (") for line, (path, label) in zip(lines, digit_files, strict=True))
    assert right >= 7
    assert all(line.count("%") == 2 for line in lines)


def test_eval_says_when_the_recorded_accuracy_is_not_reproduced(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "r")).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    config["metrics"]["test_correct"] += 1
    (out / "config.json").write_text(json.dumps(config))
    result = run("eval", str(out))
    assert result.exit_code == 1
    assert "DIFFERENT" in result.output


def test_wrong_inputs_are_one_clear_line(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not an image")
    assert "notes.txt" in fails(1, "predict", "gridnet-digits", str(text))
    assert "missing.png" in fails(1, "predict", "gridnet-digits", str(tmp_path / "missing.png"))
    assert "no model named 'gridnet-digit'" in fails(1, "predict", "gridnet-digit", str(text))
    assert "unknown recipe 'gridnet-digit' (did you mean gridnet-digits" in fails(1, "train", "gridnet-digit")
    assert "model.block" in fails(1, "train", "gridnet-digits", "-o", "model.block=5", "--out", str(tmp_path / "o"))
    assert "train.epoch: unknown key" in fails(1, "train", "gridnet-digits", "-o", "train.epoch=5")
    assert "device 'tpu' cannot be used here" in fails(
        1, "train", "gridnet-digits", "--device", "tpu", "--out", str(tmp_path / "o"), "--run-dir", str(tmp_path / "r")
    )
    missing = fails(1, "train", "gridnet-imagenet", "--data-dir", str(tmp_path), "--out", str(tmp_path / "o"))
    assert str(tmp_path) in missing


def test_a_wrong_option_is_a_usage_error() -> None:
    assert "No such option" in fails(2, "train", "gridnet-digits", "--epochs", "3")
    assert "see zoo train --help" in fails(2, "train", "gridnet-digits", "--seeds", "0")
    assert "'--seeds': 0 is not in the range" in fails(2, "train", "gridnet-digits", "--seeds", "0")
    assert "Missing argument 'INPUT...' (see zoo predict --help)" in fails(2, "predict", "gridnet-digits")
    assert "No such command 'trian'" in fails(2, "trian")
    assert "No such option" in fails(2, "--loud")
    assert "'a,b' should be positive whole numbers" in fails(2, "bench", "predict", "gridnet-digits", "--batch", "a,b")
    assert "Commands:" in run("bench").output


@pytest.mark.parametrize("command", ["train", "eval", "probe", "export", "bench train"])
def test_a_data_folder_that_is_not_there_is_refused(tmp_path: Path, command: str) -> None:
    line = fails(2, *command.split(), "gridnet-digits", "--data-dir", str(tmp_path / "nowhere"))
    assert "'--data-dir'" in line
    assert "nowhere' does not exist" in line
    assert not (tmp_path / "nowhere").exists()


def test_an_export_compares_with_the_data_it_was_told_of_or_fails(tmp_path: Path) -> None:
    model = tmp_path / "gridnet-images"
    shutil.copytree(find_model("gridnet-digits"), model)
    config = json.loads((model / "config.json").read_text())
    recipe = (model / "recipe.yaml").read_text().replace("name: digits", "name: image_folder")
    (model / "recipe.yaml").write_text(recipe)
    seal = {"sha256": hashlib.sha256(recipe.encode()).hexdigest(), "size": len(recipe.encode())}
    (model / "config.json").write_text(json.dumps({**config, "files": {**config["files"], "recipe.yaml": seal}}))
    out = tmp_path / "model.onnx"
    line = fails(1, "export", str(model), "--out", str(out), "--data-dir", str(tmp_path))
    assert f"no folder {tmp_path}/train" in line
    assert not out.exists()


def test_an_unexpected_error_is_called_a_bug_and_debug_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(family: str | None) -> None:
        raise TypeError("oops")

    monkeypatch.setattr("zoo.artifacts.catalog.list_rows", broken)
    assert "unexpected TypeError: oops" in fails(70, "list")
    with pytest.raises(TypeError, match="oops"):
        CliRunner().invoke(cli, ["--debug", "list"], catch_exceptions=False)


def test_a_reader_that_has_seen_enough_gets_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(family: str | None) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # as from `zoo list | head -1`

    monkeypatch.setattr("zoo.artifacts.catalog.list_rows", closed)
    result = run("list")
    assert (result.exit_code, result.stderr) == (1, "")


def test_doctor_reports_kernels_data_and_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)  # as a download that failed leaves it
    result = run("doctor", "--offline")
    assert result.exit_code == 0, result.output
    for word in ("kernels: compiled, running", "CUDA kernels", "threads", f"{tmp_path}, without MNIST"):
        assert word in result.output
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    checks = {check["what"]: check for check in json.loads(run("doctor", "--offline", "--json").output)}
    assert checks["kernels"]["status"] == "note"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(zoo.cli.checks.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in run("doctor").output


def test_doctor_fails_when_the_kernels_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError("the compiled kernels cannot be loaded")

    monkeypatch.setattr("zoo.kernels.runtime.compiled", broken)
    result = run("doctor", "--offline")
    assert result.exit_code == 1
    assert "reinstall with a C++20 compiler" in result.output


def test_a_missing_training_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    line = fails(1, "train", "gridnet-digits")
    assert "zoo train needs the training side, which is not installed (no accelerate)" in line
    assert "pip install 'cellzoo[train]'" in line


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["info", "gridnet-mnist"], ["predict", "gridnet-digits", "IMAGE"], ["pull", "x"]],
)
def test_listing_and_predicting_load_no_training_library(arguments: list[str], tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "eye.png")
    typed = [str(tmp_path / "eye.png") if argument == "IMAGE" else argument for argument in arguments]
    code = (
        "import sys\nfrom zoo.cli import cli\n"
        f"try:\n    cli({typed!r}, prog_name='zoo')\nexcept SystemExit as end:\n    code = end.code\n"
        "print('loaded', code, *({'torch', 'torchvision', 'sklearn', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status = 1 if arguments == ["pull", "x"] else 0  # a plain name is no model on the Hub
    assert result.stdout.splitlines()[-1] == f"loaded {status}", result.stdout + result.stderr


def test_a_value_error_of_torch_is_a_bug_not_a_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("expected a stride")

    monkeypatch.setattr("zoo.families.gridnet.model.Gridnet.__init__", broken)
    assert "unexpected ValueError: expected a stride" in fails(
        70, "train", "gridnet-digits", "--out", str(tmp_path / "out"), *QUICK
    )


def test_the_module_runs_as_the_command_does() -> None:
    result = subprocess.run([sys.executable, "-m", "zoo", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("zoo, version ")
