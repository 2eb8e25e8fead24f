from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.artifacts import files_of
from tests.support.training import fit, interrupt, small, stop_at
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint, save_checkpoint
from zoo.training.resume import check_same_name, recipe_of_run
from zoo.utils.errors import CheckpointError, TrainingError, TrainingInterruptedError


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
