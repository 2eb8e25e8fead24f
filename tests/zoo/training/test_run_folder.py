from __future__ import annotations

import errno
import os
import shutil
from itertools import count
from pathlib import Path

import pytest
import torch

from tests.support.artifacts import files_of
from tests.support.training import fit, interrupt, metrics, small, stop_at, weights
from zoo.families.learner import Learner, StepResult
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from zoo.training.resume import check_same_name, recipe_of_run
from zoo.training.run_folder import hold, new_run_folder
from zoo.utils.errors import CheckpointError, TrainingError, TrainingInterruptedError
from zoo.utils.locks import folder_lock


def test_the_run_folder_holds_recipe_metrics_and_checkpoint(tmp_path: Path) -> None:
    recipe = small()
    fit(tmp_path)
    assert (tmp_path / "recipe.yaml").read_text() == recipe.to_yaml()
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "metrics.jsonl", CHECKPOINT_FILE}


def test_another_recipe_cannot_resume_a_run(tmp_path: Path) -> None:
    fit(tmp_path)
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()
    with pytest.raises(TrainingError, match=r"another recipe: train\.optimizer\.lr is 0\.5, was 0\.004"):
        fit(tmp_path, "train.optimizer.lr=0.5", resume=True)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before


def test_resuming_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        fit(tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 4, interrupt)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path)
    with pytest.raises(TrainingError, match=r"holds an unfinished run at step 2 of 6: resume it"):
        fit(tmp_path)


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    fit(tmp_path)
    before = files_of(tmp_path)
    for changes in ([], ["train.seed=1"]):
        with pytest.raises(
            TrainingError, match=r"holds a finished run: `zoo train --resume .*` writes its model again"
        ):
            fit(tmp_path, *changes)
    assert files_of(tmp_path) == before


def test_an_unwritable_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot write to .*file/run"):
        fit(tmp_path / "file" / "run")
    with pytest.raises(TrainingError, match=r"cannot write to .*file: it is a file"):
        fit(tmp_path / "file")


def test_the_recipe_of_a_run_is_loaded_with_its_name(tmp_path: Path) -> None:
    recipe = small()
    fit(tmp_path / "run")
    assert recipe_of_run(tmp_path / "run") == recipe
    assert recipe_of_run(tmp_path / "run", ["export.licence=CC0-1.0"]).export.licence == "CC0-1.0"


def test_the_name_of_an_older_run_is_read_from_its_folder(tmp_path: Path) -> None:
    fit(tmp_path / "run")
    state = load_checkpoint(tmp_path / "run")
    del state["name"]
    save_checkpoint(tmp_path / "run", state)
    with pytest.raises(TrainingError, match=r"does not say its recipe's name.* run `zoo train RECIPE --resume "):
        recipe_of_run(tmp_path / "run")
    check_same_name(small(), tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "my-net-20260102-030405")
    assert recipe_of_run(tmp_path / "my-net-20260102-030405").name == "my-net"


def test_a_run_that_another_process_holds_is_neither_resumed_nor_replaced(tmp_path: Path) -> None:
    fit(tmp_path)
    before = files_of(tmp_path)
    with folder_lock(tmp_path):
        with pytest.raises(TrainingError, match=rf"in use by process {os.getpid()}; wait until it ends, or stop it"):
            fit(tmp_path, resume=True)
        with pytest.raises(TrainingError, match=r"in use by process .*; give another --run-dir, or wait"):
            fit(tmp_path)
    assert files_of(tmp_path) == before


def test_a_seed_of_a_held_run_is_not_trained_alone(tmp_path: Path) -> None:
    with (
        hold([tmp_path, tmp_path / "seed-0"], resume=False),
        pytest.raises(TrainingError, match=r"seed-0 is in use by process"),
    ):
        fit(tmp_path / "seed-0")


@pytest.mark.parametrize("file", ["recipe.yaml", "metrics.jsonl", "example.png"])
def test_a_folder_with_files_of_a_run_and_no_checkpoint_is_left_alone(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("mine")
    with pytest.raises(TrainingError, match=f"holds {file} and no checkpoint; a new run would replace it"):
        fit(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_folder_that_is_deleted_under_way_ends_the_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run_dir = tmp_path / "run"

    def delete(result: StepResult) -> StepResult:
        shutil.rmtree(run_dir)
        return result

    stop_at(monkeypatch, step, delete)
    with pytest.raises(
        TrainingError, match=r"cannot write .*: No such file .*; no checkpoint exists, as the folder is"
    ):
        fit(run_dir)
    assert not run_dir.exists()


def test_a_new_run_in_the_place_of_a_deleted_one_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "run"

    def replace(result: StepResult) -> StepResult:
        shutil.rmtree(run_dir)
        with monkeypatch.context() as patch:
            patch.setattr(Learner, "training_step", usual)
            fit(run_dir, "train.seed=1")
        return result

    usual = Learner.training_step
    fit(tmp_path / "whole", "train.seed=1")
    stop_at(monkeypatch, 3, replace)
    with pytest.raises(TrainingError, match="was deleted meanwhile, so another run may be there"):
        fit(run_dir)
    found, wanted = (load_checkpoint(folder)["module"] for folder in (run_dir, tmp_path / "whole"))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_created_or_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*given: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(TrainingError, match=f"cannot write to .*run: {os.strerror(code)}"):
            fit(tmp_path / "run")
        with (
            pytest.raises(
                TrainingError, match=f"cannot create a folder in .*runs: {os.strerror(code)}; give --run-dir"
            ),
            new_run_folder("tiny", tmp_path / "runs"),
        ):
            pass
    (tmp_path / "run").mkdir()
    monkeypatch.setattr("zoo.utils.locks.os.open", refuse)
    with pytest.raises(TrainingError, match=f"cannot write to .*run: {os.strerror(code)}"):
        fit(tmp_path / "run")


def test_runs_of_one_second_and_of_a_clock_set_back_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20200101-000000")
    names = []
    for _ in range(3):
        with new_run_folder("tiny", tmp_path) as folder:
            (folder / "kept").touch()
            names.append(folder.name)
    assert names == ["tiny-20200101-000000", "tiny-20200101-000000-2", "tiny-20200101-000000-3"]
    with new_run_folder("tiny", tmp_path) as unused:
        assert unused.is_dir()
    assert not unused.exists()


def test_a_clock_that_runs_backwards_changes_no_weight_and_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = weights(fit(tmp_path / "usual").module)
    stop_at(monkeypatch, 4, interrupt)
    with pytest.raises(TrainingInterruptedError):
        fit(tmp_path / "run")
    clock = count(10**9, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    assert torch.equal(weights(fit(tmp_path / "run", resume=True).module), wanted)
    assert [record["step"] for record in metrics(tmp_path / "run", "step")] == [1, 2, 3, 4, 5, 6]
    assert all(record["seconds"] >= 0 for record in metrics(tmp_path / "run", "round"))
