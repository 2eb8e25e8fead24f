"""A disk that fills at any write of a training: one line, the last checkpoint stays, and the run can be continued.

The limit on the size of a file (``ulimit -f``) makes real writes of a real process fail, safetensors' own included;
errors of other kinds are raised in their place.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from tests.support.command import run
from tests.support.paths import ROOT
from tests.support.training import SMALL, fit, metrics, weights
from zoo.training.checkpoint import load_checkpoint
from zoo.training.metrics_log import RunLog
from zoo.training.result import CHECKPOINT_FILE
from zoo.utils.errors import CheckpointError, TrainingError

ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]
OVERRIDES = [part for override in SMALL for part in ("-o", override)]
LIMITED = """
import resource, signal, sys
from zoo.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
main()
"""


def _train_limited(limit: int, *arguments: str) -> str:
    """Run ``zoo train`` where no file may be larger; return the one line that it ends with."""
    command = [sys.executable, "-c", LIMITED, str(limit), "train", "--quiet", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_a_refused_file_ends_training_and_export_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    run_dir, model, first = tmp_path / "run", tmp_path / "model", tmp_path / "first"
    new = ["gridnet-digits", *OVERRIDES, "--run-dir"]
    assert run("train", *new, str(run_dir), "--out", str(first)).exit_code == 0
    before = (run_dir / CHECKPOINT_FILE).read_bytes()

    stderr = _train_limited(len(before) // 2, *new, str(tmp_path / "other"), "--out", str(model))
    assert f"{CHECKPOINT_FILE}: File too large; no checkpoint exists" in stderr
    stderr = _train_limited(len(before) // 8, "--resume", str(run_dir), "--out", str(model))
    assert "cannot write to the folder of temporary files" in stderr
    assert "File too large" in stderr
    assert not model.exists()
    assert (run_dir / CHECKPOINT_FILE).read_bytes() == before
    assert run("train", "--resume", str(run_dir), "--out", str(model)).exit_code == 0
    assert (model / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, which: int
) -> None:
    wanted = weights(fit(tmp_path / "whole").module)
    calls = 0

    def replace(source: Path, target: Path) -> None:
        nonlocal calls
        calls += target.name == CHECKPOINT_FILE
        if target.name == CHECKPOINT_FILE and calls == which:
            raise OSError(code, os.strerror(code))
        usual(source, target)

    usual = os.replace
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(CheckpointError, match=f"cannot write .*{CHECKPOINT_FILE}: {os.strerror(code)}; ") as caught:
            fit(run_dir)
    if which == 1:
        assert "no checkpoint exists" in str(caught.value)
        return
    assert "the previous checkpoint stays; remove the cause and continue with --resume" in str(caught.value)
    assert not list(run_dir.glob(".checkpoint*"))
    assert load_checkpoint(run_dir)["step"] == 2 * (which - 2)
    assert torch.equal(weights(fit(run_dir, resume=True).module), wanted)


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("which", [1, 4])
def test_a_log_that_cannot_be_written_ends_the_run_and_is_whole_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, which: int
) -> None:
    fit(tmp_path / "whole")
    steps = [record["loss"] for record in metrics(tmp_path / "whole", "step")]
    usual, calls = RunLog._write, 0

    def write(log: RunLog, record: dict[str, Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == which:
            with log._naming_errors(), log.path.open("ab") as file:
                file.write(b'{"kind": "step", "st')  # what fitted
                raise OSError(code, os.strerror(code))
        usual(log, record)

    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "_write", write)
        with pytest.raises(TrainingError, match=f"cannot write .*metrics.jsonl: {os.strerror(code)}; the previous"):
            fit(run_dir)
    fit(run_dir, resume=True)
    assert [record["loss"] for record in metrics(run_dir, "step")] == steps
    assert len(metrics(run_dir, "round")) == 3


def test_a_full_disk_at_the_export_keeps_the_finished_run_and_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **options: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    out, run_dir = tmp_path / "model", tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("zoo.artifacts.preflight.check_exportable", lambda *given, **options: None)
        patch.setattr("zoo.artifacts.writer.save_file", full)
        result = run("train", "gridnet-digits", *OVERRIDES, "--quiet", "--run-dir", str(run_dir), "--out", str(out))
    assert result.exit_code == 1, result.output
    assert "No space left on device" in result.stderr
    assert "the finished run is kept; write its artifact with: " in result.stderr
    assert f"zoo train --resume {run_dir}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert run("train", "--resume", str(run_dir), "--quiet", "--out", str(out)).exit_code == 0
