from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from tests.support.training import fit, interrupted_after_saving, metrics, small, weights
from zoo.artifacts.from_run import export_run
from zoo.recipe import load_recipe
from zoo.training.callbacks import _best_step
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


def test_a_run_that_is_interrupted_at_every_round_stops_and_chooses_as_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [Scripted([0.4, 0.5, 0.3, 0.2, 0.1])]
    overrides = (*LONG, "train.early_stopping={patience: 3}", "export.which=best")
    whole = fit(tmp_path / "whole", *overrides, callbacks=rounds)
    for attempt in range(5):
        with interrupted_after_saving(monkeypatch), pytest.raises(TrainingInterruptedError):
            fit(tmp_path / "parts", *overrides, callbacks=rounds, resume=attempt > 0)
    parts = fit(tmp_path / "parts", *overrides, callbacks=rounds, resume=True)
    assert parts.steps == whole.steps == 10
    assert parts.findings["exported_step"] == whole.findings["exported_step"] == 4
    assert torch.equal(weights(parts.module), weights(whole.module))
    assert parts.test == whole.test


def test_the_best_checkpoint_is_tested_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [Scripted([0.2, 0.8, 0.3])]
    last = fit(tmp_path / "last", CONSTANT, callbacks=rounds)
    best = fit(tmp_path / "best", CONSTANT, "export.which=best", callbacks=rounds, progress=True)
    assert "the weights of step 4 are tested, of 6 steps" in capsys.readouterr().err
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


@pytest.mark.parametrize(("first", "then"), [("last", "best"), ("best", "last")])
def test_a_run_cannot_be_tested_again_with_other_weights(first: str, then: str, tmp_path: Path) -> None:
    fit(tmp_path, f"export.which={first}")
    with pytest.raises(TrainingError, match=f"export.which is {then}, was {first}"):
        fit(tmp_path, f"export.which={then}", resume=True)


def test_a_best_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    fit(tmp_path, "export.which=best", callbacks=[Scripted([0.8, 0.2, 0.1])])
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"best\.safetensors is missing or does not hold step 2"):
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
        ({"f1": lambda *_: "high"}, "metric f1: found 'high' at step 2, allowed finite numbers"),
        ({"f1": lambda *_: np.zeros(2)}, "metric f1: found .* at step 2"),
        ({"f1": 0.5}, "allowed functions by name"),
        ([min], "allowed functions by name"),
        ({1: min}, "metric 1: its name"),
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


@pytest.mark.parametrize(
    ("answer", "added", "words"),
    [
        ("no", {}, "Odd.on_validation: found 'no', allowed True, False and None"),
        (np.array([True, False]), {}, "Odd.on_validation: found .*, allowed True"),
        (1, {}, "Odd.on_validation: found 1, allowed True"),
        (None, {"note": "good"}, "'note' is 'good', allowed finite numbers"),
        (None, {"ratio": float("inf")}, "'ratio' is inf, allowed finite numbers"),
        (None, {"step": 99}, "Odd.on_validation changed step of the record"),
        (None, {3: 4}, "3 is 4, allowed finite numbers"),
    ],
)
def test_a_callback_that_answers_or_adds_nonsense_is_named(answer: Any, added: Any, words: str, tmp_path: Path) -> None:
    class Odd(Callback):
        def on_validation(self, run: Run, record: dict[str, Any]) -> Any:
            record.update(added)
            return answer

    with pytest.raises(TrainingError, match=words):
        fit(tmp_path, "train.steps=2", callbacks=[Odd()])


def test_numbers_of_numpy_and_torch_are_logged_and_what_raises_keeps_its_checkpoint(tmp_path: Path) -> None:
    class Adding(Callback):
        def on_validation(self, run: Run, record: dict[str, Any]) -> Any:
            record.update(a=np.float32(0.5), b=torch.tensor(2), c=np.array(3))
            if run.step == 4:
                raise ValueError("mine")
            return np.bool_(False)

    with pytest.raises(ValueError, match="mine"):
        fit(tmp_path, callbacks=[Adding()])
    assert [metrics(tmp_path, "round")[0][key] for key in "abc"] == [0.5, 2, 3]
    assert load_checkpoint(tmp_path)["step"] == 2


@pytest.mark.parametrize("given", [Callback, print])
def test_a_callback_that_is_none_is_refused_before_anything_is_written(given: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="allowed instances of Callback"):
        fit(tmp_path / "run", callbacks=[given])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_recipes_without_the_new_keys_keep_their_hash() -> None:
    recipe = small()
    assert "which" not in recipe.to_dict()["export"]
    assert "early_stopping" not in recipe.to_dict()["train"]
    assert small("export.which=best").to_dict()["export"]["which"] == "best"


@pytest.mark.parametrize(
    ("rounds", "best"),
    [
        ([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),
        ([(0.7, 2.0), (0.7, 1.0), (0.7, 3.0)], 2),
        ([(0.7, 1.0), (0.7, 1.0)], 1),
    ],
)
def test_the_best_round_has_the_highest_accuracy_then_the_lowest_loss_then_came_first(
    rounds: list[tuple[float, float]], best: int
) -> None:
    history = [
        {"step": step, "validation_accuracy": accuracy, "validation_loss": loss}
        for step, (accuracy, loss) in enumerate(rounds, start=1)
    ]
    assert _best_step(cast(Run, SimpleNamespace(history=history))) == best
