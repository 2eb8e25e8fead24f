"""The ``zoo`` command: help, exit codes, errors on one line of stderr, imports of the light commands."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sdk.resolve import find_model
from tests.support.command import QUICK, fails, run
from zoo.cli import cli


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in (
        "list",
        "info",
        "train",
        "recipe",
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


def test_wrong_inputs_fail_with_one_clear_line(tmp_path: Path) -> None:
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
    assert "No such command 'trian' (did you mean train?)" in fails(2, "trian")
    assert "No such command 'kernel' (did you mean kernels?)" in fails(2, "bench", "kernel")
    assert "No such option" in fails(2, "--loud")
    assert "found 'a,b', expected positive whole numbers" in fails(
        2, "bench", "predict", "gridnet-digits", "--batch", "a,b"
    )
    assert "Commands:" in run("bench").output


@pytest.mark.parametrize("command", ["train", "eval", "probe", "export", "bench train"])
def test_a_missing_data_folder_is_refused(tmp_path: Path, command: str) -> None:
    line = fails(2, *command.split(), "gridnet-digits", "--data-dir", str(tmp_path / "nowhere"))
    assert "'--data-dir'" in line
    assert "nowhere' does not exist" in line
    assert not (tmp_path / "nowhere").exists()


def test_an_unexpected_error_is_reported_as_a_bug_and_shown_by_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(family: str | None) -> None:
        raise TypeError("oops")

    monkeypatch.setattr("zoo.artifacts.catalog.list_rows", broken)
    assert "unexpected TypeError: oops" in fails(70, "list")
    with pytest.raises(TypeError, match="oops"):
        CliRunner().invoke(cli, ["--debug", "list"], catch_exceptions=False)


def test_a_closed_pipe_is_not_an_error_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(family: str | None) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")  # as from `zoo list | head -1`

    monkeypatch.setattr("zoo.artifacts.catalog.list_rows", closed)
    result = run("list")
    assert (result.exit_code, result.stderr) == (1, "")


def test_a_missing_training_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    line = fails(1, "train", "gridnet-digits")
    assert "zoo train needs the training side, which is not installed (no accelerate)" in line
    assert "pip install 'cellzoo[train]'" in line


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["info", "gridnet-mnist"], ["predict", "gridnet-digits", "IMAGE"], ["pull", "x"]],
)
def test_listing_and_predicting_load_no_training_package(arguments: list[str], tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "eye.png")
    typed = [str(tmp_path / "eye.png") if argument == "IMAGE" else argument for argument in arguments]
    code = (
        "import sys\nfrom zoo.cli import cli\n"
        f"try:\n    cli({typed!r}, prog_name='zoo')\nexcept SystemExit as end:\n    code = end.code\n"
        "print('loaded', code, *({'torch', 'torchvision', 'sklearn', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status = 1 if arguments == ["pull", "x"] else 0  # a plain name is not a model on the Hub
    assert result.stdout.splitlines()[-1] == f"loaded {status}", result.stdout + result.stderr


def test_python_m_zoo_runs_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "zoo", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("zoo, version ")


def test_a_value_error_from_torch_is_reported_as_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("expected a stride")

    monkeypatch.setattr("zoo.families.gridnet.model.Gridnet.__init__", broken)
    assert "unexpected ValueError: expected a stride" in fails(
        70, "train", "gridnet-digits", "--out", str(tmp_path / "out"), *QUICK
    )


def test_warnings_are_notes_without_a_line_of_source(own_models_folder: Path, tmp_path: Path) -> None:
    own = own_models_folder / "gridnet-digits"
    shutil.copytree(find_model("bundled:gridnet-digits"), own)
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "eye.png")
    result = run("predict", "gridnet-digits", str(tmp_path / "eye.png"))
    assert result.stderr == (
        f"zoo: note: 'gridnet-digits' means the model in {own}; write 'bundled:gridnet-digits' for the other one\n"
    )
    assert run("info", "bundled:gridnet-digits").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "gridnet-minst"], "no model named 'gridnet-minst' (did you mean gridnet-mnist?)"),
        (["probe", "bundled:gridnet-minst"], "no bundled model named 'gridnet-minst' (did you mean gridnet-mnist?)"),
        (["train", "gridnet-minst"], "unknown recipe 'gridnet-minst' (did you mean gridnet-mnist?)"),
        (["info", "gridnet-minst"], "no recipe or model named 'gridnet-minst' (did you mean gridnet-mnist?)"),
        (["list", "--family", "gridnte"], "no model of family 'gridnte' (did you mean gridnet?)"),
        (["bench", "family", "celnet"], "unknown family 'celnet' (did you mean cellnet?)"),
        (["eval", "gridnet-digits", "--backend", "trch"], "cannot run gridnet-digits (did you mean torch?)"),
        (
            ["export", "snapshots-digits", "--member", "coarze", "--out", "x"],
            "no member 'coarze' (did you mean coarse?)",
        ),
    ],
)
def test_a_misspelt_name_is_answered_with_the_closest_one_on_a_short_line(arguments: list[str], message: str) -> None:
    line = fails(1, *arguments)
    assert message in line
    assert len(line) < 260


@pytest.mark.parametrize("command", [["eval"], ["predict"], ["probe"], ["export"]])
def test_a_recipe_without_a_model_is_named_as_one_to_train(command: list[str]) -> None:
    name = "cellnet-mnist-literal"
    inputs = ["seven.png"] if command == ["predict"] else []
    line = fails(1, *command, name, *inputs)
    assert line == f"zoo: error: {name} is a recipe without a trained model; train it with `zoo train {name}`"
