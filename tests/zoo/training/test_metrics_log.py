from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import zoo.training.metrics_log
from tests.support.training import fit, interrupt, metrics, stop_at
from zoo.training.metrics_log import RunLog
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


ROUND = {"step": 4, "epoch": 1.0, "train_loss": 0.5, "validation_loss": 0.5, "validation_accuracy": 0.5, "seconds": 1.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the log sees, in seconds."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(zoo.training.metrics_log.time, "perf_counter", lambda: now.seconds)
    return now


def test_the_rate_counts_the_samples_since_the_last_logged_step_without_validation(
    tmp_path: Path, clock: SimpleNamespace
) -> None:
    log = RunLog(tmp_path, 8, silent=False, progress=False)
    log.start(2)
    clock.seconds += 4
    log.step(4, 10, {"loss": 1.0})
    clock.seconds += 60  # of a validation
    log.round(ROUND)
    clock.seconds += 2
    log.step(8, 10, {"loss": 1.0})
    log.close()
    assert [record["samples_per_second"] for record in metrics(tmp_path, "step")] == [5, 20]


def test_a_round_that_a_kill_kept_from_the_log_is_added_in_its_place(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 8, silent=False, progress=False)
    log.start(0)
    for step in (3, 4, 5, 6, 7):
        log.step(step, 10, {"loss": 1.0})
    log.round({**ROUND, "step": 6})
    log.start(6, [{**ROUND, "step": 4}, {**ROUND, "step": 6}])
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in lines] == [
        ("step", 3), ("step", 4), ("round", 4), ("step", 5), ("step", 6), ("round", 6)
    ]  # fmt: skip
