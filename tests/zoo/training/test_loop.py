"""The training loop: results, seeds, optimizers, stops, several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo.training.loop
import zoo.training.setup
from tests.support.training import fit, interrupt, metrics, stop_at, weights
from zoo.families.learner import StepResult
from zoo.families.objective import OBJECTIVES
from zoo.recipe import load_recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.evaluate import evaluate
from zoo.training.loop import train
from zoo.training.run import Run
from zoo.utils.errors import TrainingError, TrainingInterruptedError


def test_a_run_learns_and_reports_its_accuracy(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.steps=300", "train.checkpoint_every=100", "model.outer_steps=3")
    assert result.test.accuracy > 0.5
    assert result.test.total == 360
    assert result.test.correct == round(result.test.accuracy * 360)
    assert result.test.interval[0] < result.test.accuracy < result.test.interval[1]
    assert result.validation.total == 40
    assert (result.steps, result.epochs) == (300, 300 / 87)
    assert result.seconds > 0
    assert [record["step"] for record in result.history] == [100, 200, 300]
    losses = [record["validation_loss"] for record in result.history]
    assert losses == sorted(losses, reverse=True)
    assert result.data.labels == [str(digit) for digit in range(10)]


def test_the_result_holds_the_tested_module(tmp_path: Path) -> None:
    result = fit(tmp_path)
    correct, total, loss = evaluate(
        result.module, result.data.test, OBJECTIVES["classification"], 100, torch.device("cpu")
    )
    assert (correct, total) == (result.test.correct, result.test.total)
    assert loss == pytest.approx(result.test.loss, rel=1e-5)
    assert not result.module.training


def test_an_epoch_is_one_pass_in_full_batches(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.steps=null", "train.epochs=2", "train.checkpoint_every=null", "train.batch_size=600")
    assert result.steps == 4
    assert [record["epoch"] for record in result.history] == [1, 2]


def test_equal_seeds_give_equal_weights_and_different_seeds_do_not(tmp_path: Path) -> None:
    one, same, other = (
        weights(fit(tmp_path / str(i), f"train.seed={seed}").module) for i, seed in enumerate((3, 3, 4))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_test_split_is_evaluated_once_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(module: nn.Module, split: Any, *rest: Any) -> tuple[int, int, float]:
        seen.append(len(split))
        return evaluate(module, split, *rest)

    monkeypatch.setattr(zoo.training.loop, "evaluate", spy)
    fit(tmp_path)
    # Three rounds, one more validation after the learner's final choices, then the test split.
    assert seen == [40, 40, 40, 40, 360]


def test_the_test_split_is_read_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = zoo.training.setup.load_data
    reads: list[int] = []

    def load_data(*args: Any) -> Any:
        data = usual(*args)
        read = type(data.test).__getitem__

        class Spied(type(data.test)):  # type: ignore[misc]
            def __getitem__(self, batch: Any) -> Any:
                reads.extend(batch.indices.tolist())
                return read(self, batch)

        data.test.__class__ = Spied
        return data

    monkeypatch.setattr(zoo.training.setup, "load_data", load_data)
    fit(tmp_path)
    assert reads == list(range(360))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_every_optimizer_trains_with_every_schedule(tmp_path: Path, name: str, schedule: str) -> None:
    optimizer = f"train.optimizer={{name: {name}, lr: 0.1}}"
    result = fit(tmp_path, optimizer, f"train.schedule={{name: {schedule}, warmup: 2}}", "train.ema=null")
    rates = [record["lr"] for record in metrics(tmp_path, "step")]
    assert rates[1] < rates[2]
    assert (rates[-1] == pytest.approx(0.1)) == (schedule == "constant")
    assert result.steps == 6


def test_gradients_are_clipped_to_clip_norm(tmp_path: Path) -> None:
    moved = {}
    for clip in ("1e-3", "null"):
        optimizer = "train.optimizer={name: sgd, lr: 1}"
        options = [optimizer, f"train.clip_norm={clip}", "train.schedule={name: constant}", "train.ema=null"]
        first = weights(fit(tmp_path / clip / "1", *options, "train.steps=1").module)
        second = weights(fit(tmp_path / clip / "2", *options, "train.steps=2").module)
        moved[clip] = float((second - first).norm())
    assert moved["1e-3"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["null"] > 1e-2


def test_the_averaged_weights_are_tested(tmp_path: Path) -> None:
    decay = 0.6
    seen: list[Tensor] = []
    for steps in (1, 2, 3):
        result = fit(tmp_path / str(steps), f"train.steps={steps}", "train.ema=null", "train.schedule={name: constant}")
        seen.append(weights(result.module))
    expected = seen[0]
    for current in seen[1:]:
        expected = decay * expected + (1 - decay) * current
    averaged = fit(tmp_path / "ema", "train.steps=3", f"train.ema={decay}", "train.schedule={name: constant}")
    torch.testing.assert_close(weights(averaged.module), expected)


def test_bf16_trains_with_float32_weights(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.precision=bf16")
    assert {parameter.dtype for parameter in result.module.parameters()} == {torch.float32}
    assert not torch.equal(weights(result.module), weights(fit(tmp_path / "fp32").module))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_training_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    runs: list[Run] = []
    usual = zoo.training.loop.setup

    def setup(*args: Any, **options: Any) -> Run:
        runs.append(usual(*args, **options))
        return runs[0]

    monkeypatch.setattr(zoo.training.loop, "setup", setup)
    stop_at(monkeypatch, 5, lambda result: StepResult(result.loss * value, result.logs))
    with pytest.raises(TrainingError, match=rf"stopped in step 5 .*the loss is {value}, the last finite") as info:
        fit(tmp_path)
    assert "\n" not in str(info.value)
    assert "the checkpoint of step 4 is in" in str(info.value)
    assert "train.optimizer.lr" in str(info.value)
    saved = load_checkpoint(tmp_path)
    assert saved["step"] == 4
    for name, tensor in runs[0].plain.state_dict().items():
        assert torch.equal(tensor, saved["module"][name])


def test_a_non_finite_gradient_stops_training_before_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # sqrt is finite at 0, but its slope there is not.
    stop_at(monkeypatch, 3, lambda result: StepResult((result.loss * 0).sqrt() + 1, result.logs))
    with pytest.raises(TrainingError, match=r"stopped in step 3 .*the gradient's norm is nan"):
        fit(tmp_path)
    assert all(tensor.isfinite().all() for tensor in load_checkpoint(tmp_path)["module"].values())


def test_an_interrupted_run_leaves_its_checkpoint_and_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 4, interrupt)
    with pytest.raises(TrainingInterruptedError, match=r"at step 3 of 6; the checkpoint of step 2 is in"):
        fit(tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 2


def test_gridnet_imagenet_trains_on_a_folder_of_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 3)):
        for label, base in (("dark", 0), ("light", 150)):
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = base + generator.integers(0, 100, (40, 50, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / part / label / f"{i}.jpg")
    recipe = load_recipe(
        "gridnet-imagenet",
        [
            "model.grid=[8, 8, 8]", "model.block=4", "model.inner_steps=2", "model.outer_steps=4",
            "data.image_size=32", "data.resize=36", "data.validation=4", "data.workers=1",
            "train.epochs=6", "train.batch_size=10", "train.optimizer.lr=3e-3", "train.checkpoint_every=null",
        ],
    )  # fmt: skip
    result = train(recipe, run_dir=tmp_path / "run", data_dir=tmp_path, device="cpu", progress=False)
    assert result.steps == 12
    assert result.data.labels == ["dark", "light"]
    assert result.test.total == 6
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
