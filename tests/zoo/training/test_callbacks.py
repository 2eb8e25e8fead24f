from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.training import fit, interrupted_after_saving, metrics, small, weights
from zoo.artifacts.from_run import export_run
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.loop import train
from zoo.training.run import Callback, Run
from zoo.utils.errors import TrainingError, TrainingInterruptedError

LONG = ("train.steps=20", "train.checkpoint_every=2")
CONSTANT = "train.schedule={name: constant}"


class Scripted(Callback):
    """Replaces validation's numbers by given ones, round by round."""

    def __init__(self, accuracies: list[float]) -> None:
        self.accuracies = accuracies

    def on_validation(self, run: Run, record: dict[str, Any]) -> bool:
        accuracy = self.accuracies[len(run.history)]
        record.update(validation_accuracy=accuracy, validation_loss=1 - accuracy)
        return False


def test_training_stops_when_validation_has_not_improved_for_some_rounds(tmp_path: Path) -> None:
    rounds = Scripted([0.1, 0.3, 0.2, 0.3, 0.25, 0.9, 0.9, 0.9, 0.9, 0.9])
    result = fit(tmp_path, *LONG, "train.early_stopping={patience: 3}", callbacks=[rounds])
    assert result.steps == 10
    assert load_checkpoint(tmp_path)["total_steps"] == 10
    assert len(metrics(tmp_path, "test")) == 1


def test_an_improvement_below_min_delta_is_none(tmp_path: Path) -> None:
    rounds = Scripted([0.1, 0.15, 0.19])
    stopping = "train.early_stopping={metric: validation_accuracy, patience: 2, min_delta: 0.1}"
    assert fit(tmp_path, *LONG, stopping, callbacks=[rounds]).steps == 6


def test_a_resumed_run_stops_where_it_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = [Scripted([0.5, 0.4, 0.3, 0.2, 0.1])]
    overrides = (*LONG, "train.early_stopping={patience: 3}")
    with interrupted_after_saving(monkeypatch), pytest.raises(TrainingInterruptedError):
        fit(tmp_path, *overrides, callbacks=rounds)
    assert fit(tmp_path, *overrides, callbacks=rounds, resume=True).steps == 8


def test_the_best_checkpoint_is_tested_and_exported(tmp_path: Path) -> None:
    rounds = [Scripted([0.2, 0.8, 0.3])]
    last = fit(tmp_path / "last", CONSTANT, callbacks=rounds)
    best = fit(tmp_path / "best", CONSTANT, "export.which=best", callbacks=rounds)
    short = fit(tmp_path / "short", CONSTANT, "train.steps=4")
    assert torch.equal(weights(best.module), weights(short.module))
    assert not torch.equal(weights(best.module), weights(last.module))
    assert best.test == short.test
    folder = export_run(best, tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())["metrics"]["exported_step"] == 4
    again = fit(tmp_path / "best", CONSTANT, "export.which=best", resume=True)
    assert torch.equal(weights(again.module), weights(best.module))


def test_a_running_average_and_a_growing_network_return_to_their_best(tmp_path: Path) -> None:
    rounds = [Scripted([0.2, 0.8, 0.3])]
    averaged = fit(tmp_path / "average", CONSTANT, "train.ema=0.9", "export.which=best", callbacks=rounds)
    short = fit(tmp_path / "short", CONSTANT, "train.ema=0.9", "train.steps=4")
    assert torch.equal(weights(averaged.module), weights(short.module))
    growing = load_recipe("snapshots-digits", ["train.epochs=null", "train.steps=60", "train.checkpoint_every=20",
                                               "export.which=best"])  # fmt: skip
    result = train(growing, run_dir=tmp_path / "growing", device="cpu", progress=False, callbacks=rounds)
    assert result.findings["exported_step"] == 40


def test_the_best_survives_a_kill_between_the_checkpoint_and_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [Scripted([0.8, 0.2, 0.1])]
    with interrupted_after_saving(monkeypatch), pytest.raises(TrainingInterruptedError):
        fit(tmp_path, "export.which=best", callbacks=rounds)
    assert not (tmp_path / "best.safetensors").exists()
    result = fit(tmp_path, "export.which=best", callbacks=rounds, resume=True)
    assert result.findings["exported_step"] == 2


def test_the_best_of_a_run_that_did_not_keep_it_is_refused(tmp_path: Path) -> None:
    fit(tmp_path, callbacks=[Scripted([0.8, 0.2, 0.1])])
    with pytest.raises(TrainingError, match=r"trained with export\.which last"):
        fit(tmp_path, "export.which=best", resume=True)


def test_metrics_of_ones_own_see_the_validation_split_and_are_logged(tmp_path: Path) -> None:
    def share(logits: Any, labels: Any) -> float:
        assert logits.shape == (40, 10)
        return float(np.mean(logits.argmax(1) == labels))

    result = fit(tmp_path, metrics={"share": share})
    logged = metrics(tmp_path, "round")
    assert [record["validation_share"] for record in logged] == [record["validation_accuracy"] for record in logged]
    folder = export_run(result, tmp_path / "model")
    assert "validation_share" in json.loads((folder / "history.json").read_text())[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": lambda *_: 0.0}, "none of loss"),
        ({"My Metric": lambda *_: 0.0}, "lower-case"),
        ({"f1": lambda *_: float("nan")}, "metric f1: found nan at step 2"),
    ],
)
def test_a_metric_that_cannot_be_logged_is_refused(given: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=words):
        fit(tmp_path, metrics=given)


def test_a_callback_may_end_the_training_and_sees_every_round(tmp_path: Path) -> None:
    seen: list[int] = []

    class Ending(Callback):
        def on_round_end(self, run: Run, record: dict[str, Any]) -> None:
            seen.append(record["step"])

        def on_validation(self, run: Run, record: dict[str, Any]) -> bool:
            return bool(record["step"] >= 4)

    assert fit(tmp_path, callbacks=[Ending()]).steps == 4
    assert seen == [2, 4]


def test_recipes_without_the_new_keys_keep_their_hash() -> None:
    recipe = small()
    assert "which" not in recipe.to_dict()["export"]
    assert "early_stopping" not in recipe.to_dict()["train"]
    assert small("export.which=best").to_dict()["export"]["which"] == "best"
