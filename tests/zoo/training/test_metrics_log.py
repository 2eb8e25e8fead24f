from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.training import fit, interrupt, metrics, stop_at
from zoo.utils.errors import TrainingInterruptedError


def test_the_metrics_log_holds_logged_steps_all_rounds_and_the_test(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.log_every=2")
    steps = metrics(tmp_path, "step")
    assert [record["step"] for record in steps] == [2, 4, 6]
    assert {"loss", "accuracy", "lr", "grad_norm", "samples_per_second", "epoch"} <= steps[0].keys()
    assert [{**record, "kind": None} for record in metrics(tmp_path, "round")] == [
        {**record, "kind": None} for record in result.history
    ]
    assert [record["accuracy"] for record in metrics(tmp_path, "test")] == [result.test.accuracy]


def test_the_train_loss_of_a_round_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    fit(tmp_path, "train.steps=4", "train.checkpoint_every=4")
    mean = np.mean([record["loss"] for record in metrics(tmp_path, "step")])
    assert metrics(tmp_path, "round")[0]["train_loss"] == pytest.approx(mean, rel=1e-5)


def test_progress_shows_loss_accuracy_and_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, progress=True)
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("validation loss") == 3
    assert "test accuracy" in shown.err


def test_the_log_of_a_resumed_run_holds_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 4, interrupt)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')  # as a killed run leaves it
    fit(tmp_path, resume=True)
    assert [record["step"] for record in metrics(tmp_path, "step")] == [1, 2, 3, 4, 5, 6]
    assert [record["step"] for record in metrics(tmp_path, "round")] == [2, 4, 6]
