from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result

from sdk.resolve import find_model
from tests.support.command import QUICK, fails, run
from tests.support.paths import ROOT
from tests.support.training import interrupted_after_saving
from zoo.cli.next_steps import programs
from zoo.recipe import load_recipe


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
    with interrupted_after_saving(monkeypatch):
        result = run(*arguments, "--run-dir", str(folder))
    assert result.exit_code == 130
    command = without_program(result.stderr.strip().split("continue with: ")[1])
    assert command == ["train", "--resume", str(folder), "--out", str(out)]
    assert not out.exists()
    assert run(*arguments, "--resume", str(folder)).exit_code == 0
    assert json.loads((out / "config.json").read_text())["provenance"]["steps"] == 40


def test_a_model_is_trained_to_the_users_own_models_and_used_by_name(
    tmp_path: Path, own_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    (tmp_path / "shapes.yaml").write_text(load_recipe("gridnet-digits").to_yaml())
    result = run("train", "shapes.yaml", *QUICK[:-1], "--data-dir", "my data", "--run-dir", "it's a run")
    assert result.exit_code == 0, result.output
    assert f"artifact: {own_models_folder / 'shapes'}" in result.stdout
    commands = [line.strip() for line in result.stdout.split("next:\n")[1].splitlines()]
    predict, evaluate, python = (without_program(command) for command in commands)
    predicted = run(*predict)
    assert predicted.exit_code == 0, predicted.output
    assert evaluate == ["eval", "shapes", "--data-dir", "my data"]
    assert run(*evaluate).exit_code == 0
    code = subprocess.run([sys.executable, *python], capture_output=True, text=True, check=True, env=environment())
    assert predicted.stdout.startswith(f"it's a run/example.png: {code.stdout.strip()} (")


def test_commands_after_training_name_the_path_where_the_name_means_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", "gridnet-digits", *QUICK[:-1], "--out", "out/gridnet-digits", "--run-dir", "run")
    commands = [without_program(line) for line in result.stdout.split("next:\n")[1].splitlines()]
    assert commands[1] == ["eval", "out/gridnet-digits"]
    assert "the same" in run(*commands[1]).stdout
    assert all("bundled" not in part for command in commands for part in command)


def test_the_commands_for_a_table_predict_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["-o", "train.epochs=null", "-o", "train.steps=2", "-o", "train.checkpoint_every=2"]
    result = run("train", "nca-iris", *quick, "--run-dir", "run", "--device", "cpu")
    assert result.exit_code == 0, result.output
    evaluate, python = (without_program(line) for line in result.stdout.split("next:\n")[1].splitlines())
    assert evaluate == ["eval", "nca-iris"]
    code = subprocess.run([sys.executable, *python], capture_output=True, text=True, check=True, env=environment())
    assert code.stdout.strip() in ("setosa", "versicolor", "virginica")


def test_quiet_prints_the_result_and_the_path_alone(tmp_path: Path, own_models_folder: Path) -> None:
    result = run("train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run"))
    first, second = result.stdout.splitlines()
    assert first.startswith("gridnet-digits: test accuracy ")
    assert second == f"artifact: {own_models_folder / 'gridnet-digits'}"
    assert result.stderr == ""


def test_an_existing_model_is_refused_with_both_ways_on(tmp_path: Path, own_models_folder: Path) -> None:
    target = own_models_folder / "gridnet-digits"
    shutil.copytree(find_model("bundled:gridnet-digits"), target)
    arguments = ["train", "gridnet-digits", *QUICK, "--run-dir", str(tmp_path / "run")]
    line = fails(1, *arguments)
    advice = "replace it with --overwrite (overwrite=True in Python), or write to another folder with --out FOLDER"
    assert line == f"zoo: error: {target} exists; {advice}"
    assert not (tmp_path / "run").exists()
    assert run(*arguments, "--overwrite").exit_code == 0


def test_a_run_resumes_without_its_recipe_and_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes.yaml").write_text(load_recipe("gridnet-digits").to_yaml())
    interrupt_after_first_round(monkeypatch, "train", "shapes.yaml", *QUICK, "-o", "train.epochs=2", "--run-dir", "run")
    assert run("train", "--resume", "run", "--out", "out", "--quiet").exit_code == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["name"], config["model"]["outer_steps"], config["provenance"]["steps"]) == ("shapes", 3, 40)


def test_several_seeds_resume_with_the_printed_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = interrupt_after_first_round(
        monkeypatch, "train", "gridnet-digits", *QUICK, "-o", "train.epochs=2", "--run-dir", "run", "--seeds", "2"
    )
    assert "it holds seed-0; say how many seeds to train with --seeds N" in fails(1, "train", "--resume", "run")
    command = without_program(result.stderr.strip().split("continue with: ")[1])
    assert command == ["train", "--resume", "run", "--seeds", "2"]
    assert "mean of 2 seeds" in run(*command, "--quiet").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["normnet-digits"], "a run of gridnet-digits, as normnet-digits; leave out the recipe"),
        (["gridnet-digits"], "model.outer_steps is 8, was 3; "),
        (["-o", "train.seed=7"], "with another recipe: train.seed is 7, was 0; with --resume alone, the run continues"),
        (["-o", "train.sed=7"], "train.sed: unknown key (did you mean seed?)"),
    ],
)
def test_a_recipe_that_does_not_agree_with_the_run_is_refused(
    finished_run: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    out = str(tmp_path / "out")
    assert message in fails(1, "train", *arguments, "--resume", str(finished_run), "--out", out)


def test_a_run_is_exported_again_in_other_formats(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    override = "export.formats=[safetensors]"
    assert run("train", "--resume", str(finished_run), "-o", override, "--out", str(out), "--quiet").exit_code == 0
    assert not (out / "model.onnx").exists()


def test_train_without_a_recipe_and_a_folder_without_a_run_are_refused(tmp_path: Path) -> None:
    assert "Missing argument 'RECIPE', or --resume RUN_DIR" in fails(2, "train")
    assert f"no checkpoint in {tmp_path}: nothing to resume" in fails(1, "train", "--resume", str(tmp_path))


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    out = folder / "out"
    assert run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(folder / "run")).exit_code == 0
    return folder / "run"


def without_program(command: str) -> list[str]:
    """Return the arguments of a ``zoo`` or ``python`` command, however the program is spelt."""
    program, *arguments = shlex.split(command)
    assert Path(program).name.startswith(("zoo", "python"))
    return arguments[2:] if arguments[:2] == ["-m", "zoo"] else arguments


@pytest.mark.parametrize("on_path", [True, False])
def test_the_commands_name_the_programs_of_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "zoo"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}" if on_path else "/usr/bin")
    found = ("python", ["zoo"]) if on_path else (".venv/bin/python", [".venv/bin/zoo"])
    assert programs() == found


def environment() -> dict[str, str]:
    """The environment of a command in another folder that finds this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def interrupt_after_first_round(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run a training that is interrupted after its first checkpoint."""
    with interrupted_after_saving(monkeypatch):
        result = run(*arguments)
    assert result.exit_code == 130
    return result


def test_from_starts_at_a_trained_model_and_agrees_with_the_run_it_resumes(tmp_path: Path) -> None:
    arguments = ["train", "gridnet-digits", *QUICK, "-o", "model.outer_steps=8", "--run-dir", str(tmp_path / "run")]
    loud = [argument for argument in arguments if argument != "--quiet"]
    result = run(*loud, "--from", "bundled:gridnet-digits", "--out", str(tmp_path / "one"))
    assert result.exit_code == 0, result.output
    assert "started from bundled:gridnet-digits: took 10 of 10 tensors" in result.stderr
    assert "started from   bundled:gridnet-digits: " in run("info", str(tmp_path / "one")).output
    resume = ["train", "--resume", str(tmp_path / "run"), "--quiet"]
    same = run(*resume, "--from", "bundled:gridnet-digits", "--out", str(tmp_path / "two"))
    assert same.exit_code == 0, same.output
    line = fails(1, *resume, "--from", "bundled:gridnet-mnist", "--out", str(tmp_path / "three"))
    assert "train.start_from is bundled:gridnet-mnist, was bundled:gridnet-digits" in line


def test_from_refuses_what_it_cannot_start_from_in_one_line(tmp_path: Path) -> None:
    for source, message in (
        ("nope", "train.start_from: no model named 'nope'"),
        ("bundled:cellnet-digits", "is a cellnet, and the recipe trains a gridnet"),
        (str(tmp_path), "no config.json"),
        ("", "train.start_from"),
    ):
        line = fails(1, "train", "gridnet-digits", "--from", source, "--run-dir", str(tmp_path / "run"))
        assert message in line
    assert not (tmp_path / "run").exists()
