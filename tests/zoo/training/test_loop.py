from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo.training.loop
import zoo.training.setup
from tests.support.paths import ROOT
from zoo.families.learner import Learner, StepResult
from zoo.recipe import Recipe, load_recipe
from zoo.training.checkpoint import FILE as CHECKPOINT
from zoo.training.checkpoint import load_checkpoint
from zoo.training.evaluate import evaluate
from zoo.training.loop import train
from zoo.training.result import TrainResult
from zoo.utils.errors import CheckpointError, DataError, TrainingError, TrainingInterruptedError
from zoo.utils.stats import wilson_interval

SMALL = [
    "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}",
    "data.validation=40",
    "train.epochs=null",
    "train.steps=6",
    "train.batch_size=16",
    "train.checkpoint_every=2",
    "train.log_every=1",
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Grids this small only lose time to threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(*overrides: str) -> Recipe:
    return load_recipe("gridnet-digits", [*SMALL, *overrides])


def fit(run_dir: Path, *overrides: str, **options: Any) -> TrainResult:
    return train(small(*overrides), run_dir=run_dir, **{"device": "cpu", "progress": False, **options})


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def metrics(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[StepResult], StepResult]) -> None:
    """Let training go on as usual up to a step, and do something else in its place."""
    usual = Learner.training_step
    taken = 0

    def training_step(self: Learner, inputs: Tensor, labels: Tensor) -> StepResult:
        nonlocal taken
        taken += 1
        result = usual(self, inputs, labels)
        return action(result) if taken == step else result

    monkeypatch.setattr(Learner, "training_step", training_step)


def interrupt(result: StepResult) -> StepResult:
    raise KeyboardInterrupt


# A run


def test_a_run_learns_and_reports_what_it_reached(tmp_path: Path) -> None:
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


def test_the_result_holds_the_module_that_was_tested(tmp_path: Path) -> None:
    result = fit(tmp_path)
    correct, total, loss = evaluate(result.module, result.data.test, 100, torch.device("cpu"))
    assert (correct, total) == (result.test.correct, result.test.total)
    assert loss == pytest.approx(result.test.loss, rel=1e-5)
    assert not result.module.training


def test_epochs_are_whole_passes_of_whole_batches(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.steps=null", "train.epochs=2", "train.checkpoint_every=null", "train.batch_size=600")
    assert result.steps == 4
    assert [record["epoch"] for record in result.history] == [1, 2]


def test_two_runs_with_one_seed_are_equal_and_with_another_are_not(tmp_path: Path) -> None:
    one, same, other = (
        weights(fit(tmp_path / str(i), f"train.seed={seed}").module) for i, seed in enumerate((3, 3, 4))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_test_part_is_used_once_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spy(module: nn.Module, split: Any, *rest: Any) -> tuple[int, int, float]:
        seen.append(len(split))
        return evaluate(module, split, *rest)

    monkeypatch.setattr(zoo.training.loop, "evaluate", spy)
    fit(tmp_path)
    # Three rounds, and once more after the learner's last choices; then the test part.
    assert seen == [40, 40, 40, 40, 360]


def test_the_test_part_is_read_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_gradients_are_clipped_to_their_norm(tmp_path: Path) -> None:
    moved = {}
    for clip in ("1e-3", "null"):
        optimizer = "train.optimizer={name: sgd, lr: 1}"
        options = [optimizer, f"train.clip_norm={clip}", "train.schedule={name: constant}", "train.ema=null"]
        first = weights(fit(tmp_path / clip, *options, "train.steps=1").module)
        second = weights(fit(tmp_path / clip, *options, "train.steps=2").module)
        moved[clip] = float((second - first).norm())
    assert moved["1e-3"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["null"] > 1e-2


def test_the_average_of_the_weights_is_what_is_tested(tmp_path: Path) -> None:
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


def test_the_recipe_may_be_run_twice_in_one_process_with_another_precision(tmp_path: Path) -> None:
    for precision in ("bf16", "fp32", "bf16"):
        assert fit(tmp_path, f"train.precision={precision}").steps == 6


# What a run leaves behind


def test_the_folder_holds_recipe_metrics_and_checkpoint(tmp_path: Path) -> None:
    recipe = small()
    fit(tmp_path)
    assert (tmp_path / "recipe.yaml").read_text() == recipe.to_yaml()
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.yaml", "metrics.jsonl", CHECKPOINT}


def test_metrics_hold_every_logged_step_every_round_and_the_test(tmp_path: Path) -> None:
    result = fit(tmp_path, "train.log_every=2")
    steps = metrics(tmp_path, "step")
    assert [record["step"] for record in steps] == [2, 4, 6]
    assert {"loss", "accuracy", "lr", "grad_norm", "samples_per_second", "epoch"} <= steps[0].keys()
    assert [{**record, "kind": None} for record in metrics(tmp_path, "round")] == [
        {**record, "kind": None} for record in result.history
    ]
    assert [record["accuracy"] for record in metrics(tmp_path, "test")] == [result.test.accuracy]


def test_a_rounds_train_loss_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    fit(tmp_path, "train.steps=4", "train.checkpoint_every=4")
    mean = np.mean([record["loss"] for record in metrics(tmp_path, "step")])
    assert metrics(tmp_path, "round")[0]["train_loss"] == pytest.approx(mean, rel=1e-5)


def test_tensorboard_is_written_when_asked(tmp_path: Path) -> None:
    fit(tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_progress_shows_loss_accuracy_and_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, progress=True)
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("validation loss") == 3
    assert "test accuracy" in shown.err


# Stopping


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    held: list[zoo.training.run.Run] = []
    usual = zoo.training.loop.setup
    monkeypatch.setattr(zoo.training.loop, "setup", lambda *args: held.append(usual(*args)) or held[0])
    stop_at(monkeypatch, 5, lambda result: StepResult(result.loss * value, result.logs))
    with pytest.raises(TrainingError, match=rf"stopped in step 5 .*the loss is {value}, the last finite") as info:
        fit(tmp_path)
    assert "\n" not in str(info.value)
    assert "the checkpoint of step 4 is kept" in str(info.value)
    assert "train.optimizer.lr" in str(info.value)
    saved = load_checkpoint(tmp_path)
    assert saved["step"] == 4
    for name, tensor in held[0].plain.state_dict().items():
        assert torch.equal(tensor, saved["module"][name])


def test_a_gradient_that_is_not_finite_stops_before_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # sqrt has an infinite slope at 0, where the value itself is finite.
    stop_at(monkeypatch, 3, lambda result: StepResult((result.loss * 0).sqrt() + 1, result.logs))
    with pytest.raises(TrainingError, match=r"stopped in step 3 .*the gradient's norm is nan"):
        fit(tmp_path)
    assert all(tensor.isfinite().all() for tensor in load_checkpoint(tmp_path)["module"].values())


def test_an_interrupted_run_keeps_its_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 4, interrupt)
    with pytest.raises(TrainingInterruptedError, match=r"at step 3 of 6; --resume goes on from step 2"):
        fit(tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 2


# Resuming


@pytest.mark.parametrize("stopped", [3, 4, 6])
@pytest.mark.parametrize(
    "options",
    [
        ["train.ema=0.9"],
        ["train.ema=null", "train.optimizer={name: sgd, lr: 0.1, momentum: 0.9}"],
        ["train.schedule={name: cosine, warmup: 3}", "data.augment={rotate: 10, shift: 1, scale: 0.1}"],
        ["train.schedule={name: one_cycle, cycle_momentum: true}"],
        ["train.optimizer={name: adadelta}", "train.steps=null", "train.epochs=3", "train.batch_size=600"],
    ],
)
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], stopped: int
) -> None:
    whole = fit(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        stop_at(patch, stopped, interrupt)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path / "parts", *options)
    resumed = fit(tmp_path / "parts", *options, resume=True)
    assert torch.equal(weights(resumed.module), weights(whole.module))
    assert resumed.test == whole.test
    assert [r["train_loss"] for r in resumed.history] == [r["train_loss"] for r in whole.history]


def test_the_metrics_of_a_resumed_run_hold_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 4, interrupt)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "st')  # as a killed run leaves it
    fit(tmp_path, resume=True)
    assert [record["step"] for record in metrics(tmp_path, "step")] == [1, 2, 3, 4, 5, 6]
    assert [record["step"] for record in metrics(tmp_path, "round")] == [2, 4, 6]


def test_what_a_learner_draws_and_keeps_is_resumed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(self: Learner, step: int) -> None:
        self.__dict__.setdefault("drawn", []).append(torch.rand(1))

    monkeypatch.setattr(Learner, "on_step_end", draw)
    monkeypatch.setattr(Learner, "state_dict", lambda self: {"drawn": self.drawn})
    monkeypatch.setattr(Learner, "load_state_dict", lambda self, state: self.__dict__.update(state))
    fit(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 4, interrupt)
        with pytest.raises(TrainingInterruptedError):
            fit(tmp_path / "parts")
    fit(tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name)["learner"]["drawn"] for name in ("whole", "parts"))
    assert len(whole) == 6
    assert whole == parts


def test_a_finished_run_can_be_resumed_to_get_its_result_again(tmp_path: Path) -> None:
    first = fit(tmp_path)
    again = fit(tmp_path, resume=True)
    assert torch.equal(weights(again.module), weights(first.module))
    assert again.test == first.test


def test_another_recipe_cannot_resume_a_run(tmp_path: Path) -> None:
    fit(tmp_path)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match=r"another recipe: train\.optimizer\.lr is 0\.5, was 0\.004"):
        fit(tmp_path, "train.optimizer.lr=0.5", resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
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


def test_a_finished_run_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    fit(tmp_path)
    fit(tmp_path, "train.seed=1")
    assert len(metrics(tmp_path, "test")) == 1


# What cannot start


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.batch_size=5000"], r"train\.batch_size 5000 exceeds the 1397 training samples"),
        (["model.grid=[4, 4, 2]"], r"model does not fit the data digits: an image of 1x8x8"),
        (["train.precision=fp16"], r"train\.precision fp16 needs a GPU"),
        (["model.grid=[100000, 100000, 100000]"], r"gridnet-digits: model is too large for the memory here: "),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(tmp_path: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        fit(tmp_path / "run", *overrides)
    assert not (tmp_path / "run").exists()


def test_a_missing_data_set_leaves_no_folder(tmp_path: Path) -> None:
    recipe = load_recipe("gridnet-imagenet")
    with pytest.raises(DataError, match="no folder"):
        train(recipe, run_dir=tmp_path / "run", data_dir=tmp_path, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["tpu", "cuda:1", "mps" if not torch.backends.mps.is_available() else "xpu"])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(TrainingError, match=f"device '{device}' cannot be used here; usable: cpu"):
        fit(tmp_path, device=device)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot write to .*file/run"):
        fit(tmp_path / "file" / "run")
    with pytest.raises(TrainingError, match=r"cannot write to .*file: it is a file"):
        fit(tmp_path / "file")


# Other data, other places


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


# As `torchrun --standalone --nproc-per-node 2` does it, but where fork is safe torch is imported once for all.
TWO_PROCESSES = """
import os, sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from zoo.recipe import load_recipe
from zoo.training.loop import train

def run():
    assert os.environ["WORLD_SIZE"] == "2"
    train(load_recipe("gridnet-digits", {overrides!r}), run_dir=sys.argv[1], device="cpu")

if __name__ == "__main__":
    once = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="test", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, start_method="fork" if sys.platform == "linux" else "spawn",
    )
    elastic_launch(once, run)()
"""


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    options = ["data.augment={}", "train.schedule={name: constant}", "train.steps=4"]
    alone = fit(tmp_path / "alone", *options)
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES.format(overrides=[*SMALL, *options]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path / "two")]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=300)
    average = load_checkpoint(tmp_path / "two")["average"]
    for name, tensor in alone.module.state_dict().items():
        torch.testing.assert_close(average[f"module.{name}"], tensor, rtol=1e-3, atol=1e-4)
    (one,), (two,) = metrics(tmp_path / "alone", "test"), metrics(tmp_path / "two", "test")
    assert one["total"] == two["total"] == 360
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-3)


# Numbers


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_the_interval_is_wilsons(correct: int, total: int, low: float, high: float) -> None:
    """Published examples: Newcombe, Statistics in Medicine 17 (1998), table I."""
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("name", ["nca-iris", "snapshots-digits"])
def test_a_family_that_trains_in_one_process_refuses_several(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.training.setup.Accelerator, "num_processes", property(lambda self: 2))
    with pytest.raises(TrainingError, match="trains in one process, found 2: start it without torchrun"):
        train(load_recipe(name), run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
