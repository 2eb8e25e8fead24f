"""Several ``zoo train`` at once, as real processes, and a kill of one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import fails, run
from tests.support.paths import ROOT
from tests.support.training import SMALL, metrics
from zoo.training.checkpoint import load_checkpoint
from zoo.training.result import CHECKPOINT_FILE

OVERRIDES = [part for override in SMALL for part in ("-o", override)]
NOW = "20200101-000000"


def _start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``zoo train`` in ``folder``; it waits in its first step until ``folder/go`` exists."""
    command = [sys.executable, "-m", "tests.support.pausing", str(folder / name), str(folder / "go"), NOW]
    command += ["train", *arguments, "--quiet", "--out", str(folder / f"model-{name}")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.communicate()[1] == ""
    assert process.returncode == 0


def test_two_runs_of_one_second_have_two_folders_and_both_are_whole(tmp_path: Path) -> None:
    both = [_start(tmp_path, name, "gridnet-digits", *OVERRIDES) for name in ("one", "two")]
    for name, process in zip(("one", "two"), both, strict=True):
        _wait_for(tmp_path / name, process)
    (tmp_path / "go").touch()
    for process in both:
        _end(process)
    folders = sorted((tmp_path / "runs").iterdir())
    assert [folder.name for folder in folders] == [f"gridnet-digits-{NOW}", f"gridnet-digits-{NOW}-2"]
    for folder in folders:
        assert [record["step"] for record in metrics(folder, "step")] == [1, 2, 3, 4, 5, 6]
        assert load_checkpoint(folder)["step"] == 6
    one, two = ((tmp_path / f"model-{name}" / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_second_resume_is_refused_until_the_first_has_died(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    first = _start(tmp_path, "first", "gridnet-digits", *OVERRIDES, "--run-dir", str(run_dir))
    _wait_for(tmp_path / "first", first)
    resume = ["train", "--resume", str(run_dir), "--quiet", "--out", str(tmp_path / "model")]
    before = (run_dir / CHECKPOINT_FILE).read_bytes()
    for command in (resume, ["train", "gridnet-digits", *OVERRIDES, "--run-dir", str(run_dir)]):
        assert f"{run_dir} is in use by process {first.pid}; " in fails(1, *command)
    assert (run_dir / CHECKPOINT_FILE).read_bytes() == before
    first.send_signal(signal.SIGKILL)
    first.communicate()
    result = run(*resume)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"first", "model", "run"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of processes with signals")
def test_a_signal_to_the_training_and_its_data_workers_ends_it_in_one_line(tmp_path: Path) -> None:
    """Service managers and batch systems signal all processes of a job at once."""
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "zoo", "train", "gridnet-digits", *OVERRIDES, "-o", "train.steps=100000"]
    command += ["-o", "data.workers=1", "--quiet", "--run-dir", str(run_dir), "--out", str(tmp_path / "model")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (run_dir / "metrics.jsonl").exists() or not metrics(run_dir, "step"):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    stderr = process.communicate()[1]
    assert process.returncode == 143, stderr
    assert re.fullmatch(
        r"zoo: error: interrupted at step \d+ of 100000; .*; continue with: .* --resume .*\n", stderr
    ), stderr
