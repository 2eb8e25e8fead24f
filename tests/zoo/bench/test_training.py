from __future__ import annotations

import io
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import read, run
from zoo.bench.training_worker import measure


def numbers(rows: list[dict[str, Any]], *keys: str) -> list[float]:
    return [row[key] for row in rows for key in keys]


def test_bench_train_times_each_phase_and_compares_with_the_reference(tmp_path: Path) -> None:
    small = ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}", "train.batch_size=8"]
    overrides = [part for override in small for part in ("-o", override)]
    result = run("train", "gridnet-digits", *overrides, "--steps", "3", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    report = read(tmp_path / "out")
    rows = report["results"]["results"]
    assert [(row["contender"], row["steps"]) for row in rows] == [("kernels", 3), ("reference", 2)]
    phases = [f"{phase}_seconds" for phase in ("data", "forward", "backward", "optimizer")]
    assert min(numbers(rows, *phases, "samples_per_second", "times_reference")) > 0
    for row in rows:
        assert row["samples_per_second"] == pytest.approx(8 / row["step_seconds"])
        assert all(row[phase] < row["step_seconds_max"] for phase in phases)
        assert row["peak_bytes"] > 50e6
    assert rows[-1]["times_reference"] == 1
    assert "samples/s" in result.output


def test_training_that_cannot_start_fails_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        python, option, module, request = command
        assert (python, option) == (sys.executable, "-m")
        answer = io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(answer), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # runpy warns that the module is already imported
            patch.setattr(sys, "argv", [module, request])
            runpy.run_module(module, run_name="__main__")
        return subprocess.CompletedProcess(command, 0, answer.getvalue(), "")

    monkeypatch.setattr(subprocess, "run", in_this_process)  # a new process would only import torch again
    result = run("train", "gridnet-digits", "-o", "train.batch_size=5000", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    line = "zoo: error: train.batch_size 5000 exceeds the 1293 training samples; set it to 1293 or less"
    assert result.stderr.splitlines()[-1] == line


@pytest.mark.parametrize(("recipe", "overrides"), [("cellnet-digits", []), ("nca-iris", ["model.meta.segments=2"])])
def test_the_phases_of_a_learner_that_takes_several_optimizer_steps_are_its_own(
    recipe: str, overrides: list[str]
) -> None:
    request = {
        "recipe": recipe, "overrides": [*overrides, "train.batch_size=8"], "steps": 3, "warmup": 1, "threads": 1,
        "device": "cpu", "data_dir": None,
    }  # fmt: skip
    found = measure(request)
    assert min(found[f"{phase}_seconds"] for phase in ("data", "forward", "backward", "optimizer")) > 0
