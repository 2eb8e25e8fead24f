"""Sweeps on digits, as a user starts, stops and continues them."""

from __future__ import annotations

import errno
import json
import operator
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import sdk
import zoo.sweep.study
import zoo.sweep.trial
import zoo.sweep.workers
import zoo.training.loop
import zoo.training.metrics_log
from tests.support.command import fails, run
from tests.support.paths import ROOT
from zoo.training.loop import validate_held
from zoo.utils.errors import TrainingError

SMALL = [
    "-o", "model={family: normnet, hidden: [16]}", "-o", "train.epochs=null", "-o", "train.steps=6",
    "-o", "train.checkpoint_every=2", "-o", "train.batch_size=16", "--device", "cpu",
]  # fmt: skip
GRID = ["-o", "train.optimizer.lr=1e-3,3e-2", "-o", "train.seed=0,1"]


def sweep(folder: Path, *arguments: str) -> Any:
    """Sweep the small recipe with an artifact beside the sweep's folder; return what it printed as JSON."""
    given = [*SMALL, "--sweep-dir", str(folder), "--out", str(folder.parent / "out"), "--json", *arguments]
    result = run("sweep", "normnet-digits", *given)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any, list[int]]]:
    """A finished sweep of two learning rates with two seeds; its output; and the sizes of the splits evaluated."""
    folder = tmp_path_factory.mktemp("sweep") / "sweep"
    sizes: list[int] = []
    usual = zoo.training.loop.evaluate

    def watched(module: Any, split: Any, *rest: Any) -> Any:
        sizes.append(len(split))
        return usual(module, split, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo.training.loop, "evaluate", watched)
        yield folder, sweep(folder, *GRID), sizes


def test_every_combination_is_trained_with_every_seed_and_ranked_by_its_mean(grid: tuple[Path, Any, list[int]]) -> None:
    folder, found, _ = grid
    rows = found["trials"]
    assert {row["train.optimizer.lr"] for row in rows} == {1e-3, 3e-2}
    assert rows[0]["mean"] >= rows[1]["mean"]
    for row in rows:
        logs = [folder / row["folder"] / f"seed-{seed}" / "metrics.jsonl" for seed in (0, 1)]
        last = [[json.loads(line) for line in log.read_text().splitlines()][-1] for log in logs if log.is_file()]
        accuracies = [record.get("validation_accuracy") for record in last if record["kind"] == "round"]
        if len(accuracies) == 2:  # the log of the winner's first seed ends with its test
            assert row["mean"] == pytest.approx(sum(accuracies) / 2)
            assert row["std"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert (folder / "trials.csv").read_text().splitlines()[0].startswith("train.optimizer.lr,mean,std,seeds,state")
    assert (folder / "parallel-coordinates.png").is_file()


def test_the_test_part_is_read_once_for_the_winner_alone(grid: tuple[Path, Any, list[int]]) -> None:
    folder, found, sizes = grid
    assert sizes.count(360) == 1
    logs = {log: log.read_text().count('"kind": "test"') for log in folder.rglob("metrics.jsonl")}
    assert sum(logs.values()) == 1
    assert next(log for log, tests in logs.items() if tests).parent.parent.name == found["trials"][0]["folder"]


def test_the_winner_is_an_artifact_that_says_how_it_was_chosen(grid: tuple[Path, Any, list[int]]) -> None:
    _, found, _ = grid
    model = sdk.load(found["artifact"])
    facts = model.config.provenance["sweep"]
    assert model.config.metrics["test_accuracy"] == found["test"]["accuracy"]
    assert facts["values"] == {"train.optimizer.lr": found["trials"][0]["train.optimizer.lr"]}
    assert facts["trials"] == 2
    assert facts["seeds"] == [0, 1]
    assert f"lr: {facts['values']['train.optimizer.lr']}" in (Path(found["artifact"]) / "recipe.yaml").read_text()


def test_ranges_are_searched_pruned_and_only_the_best_folder_is_kept(tmp_path: Path) -> None:
    ranges = ["-o", "train.optimizer.lr=log(1e-5..1e-1)", "-o", "train.clip_norm=null,1", "--trials", "9"]
    found = sweep(tmp_path / "a ? folder", *ranges, "--keep", "best")
    rows = found["trials"]
    assert len(rows) == 9
    assert all(1e-5 <= row["train.optimizer.lr"] <= 1e-1 for row in rows)
    assert any(row["state"] == "pruned" and row["rounds"] == 2 for row in rows)
    assert [row["folder"] is not None for row in rows] == [True] + [False] * 8
    assert (tmp_path / "a ? folder" / "importance.png").is_file()


def test_a_trial_that_fails_is_a_row_and_a_sweep_that_only_fails_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(recipe: Any, **options: Any) -> Any:
        if recipe.train.optimizer.lr == 7:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB")
        if recipe.train.optimizer.lr > 1:
            raise TrainingError("the loss is nan")
        return validate_held(recipe, **options)

    monkeypatch.setattr(zoo.sweep.trial, "validate_held", failing)
    found = sweep(tmp_path / "one", "-o", "train.optimizer.lr=1e-3,5,7")
    assert [row["state"] for row in found["trials"]] == ["complete", "fail", "fail"]
    arguments = ["-o", "train.optimizer.lr=4,5", "--sweep-dir", str(tmp_path / "two"), "--out", str(tmp_path / "x")]
    line = fails(1, "sweep", "normnet-digits", *SMALL, *arguments, "--quiet")
    assert line == "zoo: error: no trial ended with a model: the loss is nan"


def test_a_combination_that_no_recipe_allows_is_a_failed_trial(tmp_path: Path) -> None:
    found = sweep(tmp_path / "sweep", "-o", "model.layer=norm,plain", "-o", "model.residual=false,true")
    [failed] = [row for row in found["trials"] if row["state"] == "fail"]
    assert (failed["model.layer"], failed["model.residual"]) == ("plain", True)


def test_a_full_disk_ends_the_sweep_which_continues_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweep"
    arguments = ["--sweep-dir", str(folder), "--out", str(tmp_path / "out"), "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(zoo.training.metrics_log, "sync", full)
        line = fails(1, "sweep", "normnet-digits", *SMALL, *GRID[:2], *arguments)
    assert "metrics.jsonl: No space left on device" in line
    assert re.search(f"once the cause is removed, continue with: .*zoo sweep --resume {folder} --out", line)
    found = run("sweep", "--resume", str(folder), "--out", str(tmp_path / "out"), "--device", "cpu", "--json")
    assert {row["state"] for row in json.loads(found.stdout)["trials"]} == {"complete"}


def full(*_: Any) -> None:
    """Raise the error of a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("study.db", b"no database" * 999, "study.db cannot be read or written: file is not a database"),
        ("study.db", None, "study.db holds no trials, but their folders are here"),
        ("sweep.json", b"{}", "damaged or of another version"),
        ("sweep.json", (b"0.03", b"0.04"), "the values of train.optimizer.lr are not those of the trials"),
        ("sweep.json", (b'"trials": 2', b'"trials": "all"'), "damaged or of another version (trials: "),
        ("sweep.json", (b'"keep": "all"', b'"keep": "some"'), "damaged or of another version (keep: "),
    ],
)
def test_a_damaged_or_edited_sweep_is_one_line(
    file: str, content: Any, words: str, grid: tuple[Path, Any, list[int]], tmp_path: Path
) -> None:
    folder = shutil.copytree(grid[0], tmp_path / "sweep")
    if content is None:
        (folder / file).unlink()
    else:
        old = (folder / file).read_bytes()
        (folder / file).write_bytes(old.replace(*content) if isinstance(content, tuple) else content)
        assert (folder / file).read_bytes() != old
    assert words in fails(1, "sweep", "--resume", str(folder), "--out", str(tmp_path / "out"))


def test_a_process_that_dies_ends_the_sweep_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def counted(jobs: int) -> Any:
        started.append(jobs)
        return zoo.sweep.workers.workers(jobs)

    monkeypatch.setattr(zoo.sweep.workers, "_work", operator.is_)  # a process that ends without an answer
    monkeypatch.setattr(zoo.sweep.study, "workers", counted)
    arguments = ["--sweep-dir", str(tmp_path / "sweep"), "--out", str(tmp_path / "out"), "--jobs", "64", "--quiet"]
    line = fails(1, "sweep", "normnet-digits", *SMALL, *GRID[:2], *arguments)
    assert "a process of the sweep has died" in line
    assert "--jobs 64" in line
    assert started == [2]  # no more than there are trials


def test_an_interrupted_sweep_names_the_command_that_continues_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[float] = []

    def stopping(recipe: Any, **options: Any) -> Any:
        if ended:
            raise KeyboardInterrupt
        ended.append(recipe.train.optimizer.lr)
        return validate_held(recipe, **options)

    folder, out = tmp_path / "sweep", tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(zoo.sweep.trial, "validate_held", stopping)
        arguments = ["--sweep-dir", str(folder), "--out", str(out), "--quiet"]
        result = run("sweep", "normnet-digits", *SMALL, *GRID[:2], *arguments)
    assert result.exit_code == 130
    assert f"sweep --resume {folder} --out {out} --device cpu" in result.stderr
    result = run("sweep", "--resume", str(folder), "--out", str(out), "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["trials"]
    assert sorted(row["train.optimizer.lr"] for row in rows) == [1e-3, 3e-2]
    assert {row["folder"] for row in rows} == {"trial-000", "trial-001"}


@pytest.mark.slow
def test_a_killed_sweep_of_two_processes_continues_from_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sweep"
    long = [*SMALL, "-o", "train.steps=20000", "-o", "train.optimizer.lr=1e-3,3e-2", "--jobs", "2"]
    command = [sys.executable, "-m", "zoo", "sweep", "normnet-digits", *long, "--sweep-dir", str(folder)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "out")], cwd=ROOT, start_new_session=True)
    try:
        wait_for(lambda: len(list(folder.glob("trial-*/checkpoint.safetensors"))) == 2)
        children = children_of(process.pid)
        assert len(children) >= 2
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not any(is_alive(child) for child in children))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    continued: dict[str, bool] = {}

    def failing(recipe: Any, *, run_dir: Path, resume: bool, **options: Any) -> Any:
        continued[run_dir.name] = resume
        raise TrainingError("enough")

    monkeypatch.setattr(zoo.sweep.trial, "validate_held", failing)
    fails(1, "sweep", "--resume", str(folder), "--out", str(tmp_path / "out"), "--quiet")
    assert continued == {"trial-000": True, "trial-001": True}


def wait_for(condition: Any) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Return True unless the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "train.optimizer.lr=1e-3,-1"], 1, "train.optimizer.lr"),
        (["-o", "train.optimizer.lr=-1..1.0"], 1, "train.optimizer.lr"),
        (["-o", "train.nonsense=1,2"], 1, "train.nonsense"),
        (["-o", "train.epochs=2"], 1, "nothing to sweep over"),
        (["-o", "train.optimizer.lr=1e-3,1e-2", "-o", "train.optimizer.lr=3e-3"], 1, "list all its values in one -o"),
        (["-o", "data.validation=10,20"], 1, "would not compare"),
        (["-o", "train.optimizer.lr=log(0..1)"], 1, "above 0, found 0"),
        (["-o", "train.optimizer.lr=1e-2..1e-4"], 1, "should be below the second"),
        (["-o", "train.optimizer.lr=1e-3,1e-2", "--trials", "3"], 2, "--trials"),
        (["--resume", "."], 2, "leave out"),
    ],
)
def test_a_sweep_that_cannot_be_meant_is_refused_before_it_writes(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in fails(code, "sweep", "normnet-digits", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_sweep_and_one_with_a_sweep_are_refused(grid: tuple[Path, Any, list[int]]) -> None:
    folder, _, _ = grid
    assert "no sweep" in fails(1, "sweep", "--resume", str(folder.parent))
    arguments = ["--sweep-dir", str(folder), "--out", str(folder.parent / "other")]
    assert "--resume" in fails(1, "sweep", "normnet-digits", *GRID, *arguments)
