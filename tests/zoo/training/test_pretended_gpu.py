"""Whole trainings on a pretended CUDA device: nothing mixes devices, no step waits, and the numbers are the CPU's."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo.training.loop
from tests.support.pretended_gpu import Pretended, pretended_gpu, waits
from tests.zoo.training.test_waiting import RECIPES
from zoo.bench.training_worker import measure
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.training.lr_finder import find_lr
from zoo.training.result import TrainResult
from zoo.utils.errors import TrainingError, TrainingInterruptedError

LENGTH = [
    "train.epochs=null",
    "train.batch_size=16",
    "train.log_every=1000",
    "train.steps=4",
    "train.checkpoint_every=2",
    "train.eval_batch_size=999",
]
MORE = {
    "gridnet, cropped and turned": (
        "gridnet-digits",
        [
            "model={family: gridnet, grid: [8, 8, 2], block: 2, inner_steps: 2, gated: true}",
            "data.augment={crop: {scale: [0.5, 1]}, rotate: 5, scale: 0.1, flip: true}",
            "train.optimizer={name: sgd, lr: 0.01, momentum: 0.9}",
        ],
    ),
    "cellnet, loss (a) as a sum, in windows": ("cellnet-digits", ["model.loss_a_form=sum", "model.truncate=2"]),
    "normnet, restarts": ("normnet-digits", ["model.tree={patience: 1}"]),
    "snapshots, pruned": ("snapshots-digits-pruned", []),
    "nca, senses": ("nca-iris-sums", []),
    "nca, damage and segments": (
        "nca-iris",
        ["model.meta={population: 2, segments: 2, damage: 0.1, grow_steps: 2, judgements: 2}"],
    ),
    "mlp": ("mlp-digits", []),
    "cnn, adadelta": ("cnn-digits", ["train.optimizer={name: adadelta}"]),
}


def given(name: str, *overrides: str) -> Recipe:
    recipe, own = {**RECIPES, **MORE}[name]
    return load_recipe(recipe, [*own, *LENGTH, *overrides])


def assert_near(found: TrainResult, wanted: TrainResult) -> None:
    """Fused optimizers round differently."""
    for a, b in zip(found.module.state_dict().values(), wanted.module.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert (found.test.correct, found.validation.correct) == (wanted.test.correct, wanted.validation.correct)


@pytest.mark.parametrize("name", [*RECIPES, *MORE])
def test_a_training_is_that_of_the_cpu_and_its_steps_never_wait(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, waited, allowed = zoo.training.loop._step, Counter[str](), name == "cnn, adadelta"  # which torch cannot fuse

    def counted(run: Any, *batch: Tensor) -> Any:
        assert all(isinstance(tensor, Pretended) for tensor in (*batch, *run.module.parameters()))
        before = waits.copy()
        result = step(run, *batch)
        if run.step > 1:  # the first step may read what stays, such as a number of edges
            waited.update(waits - before)
        return result

    wanted = train(given(name), run_dir=tmp_path / "cpu", device="cpu", progress=False)
    monkeypatch.setattr(zoo.training.loop, "_step", counted)
    with pretended_gpu():
        found = train(given(name), run_dir=tmp_path / "cuda", device="cuda", progress=False)
    assert_near(found, wanted)
    assert bool(waited) == allowed, waited


@pytest.mark.parametrize("name", ["gridnet, clipped and averaged", "nca", "snapshots"])
@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_run_goes_on_on_the_other_device(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, second = zoo.training.loop.save_checkpoint, "cuda" if first == "cpu" else "cpu"

    def stop(*args: Any) -> None:
        saved(*args)
        raise KeyboardInterrupt

    wanted = train(given(name), run_dir=tmp_path / "whole", device="cpu", progress=False)
    found = None
    for device in (first, second):
        with (
            pretended_gpu() if device == "cuda" else nullcontext(),
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(TrainingInterruptedError) if device == first else nullcontext(),
        ):
            if device == first:
                patch.setattr(zoo.training.loop, "save_checkpoint", stop)
            found = train(given(name), run_dir=tmp_path / "run", device=device, progress=False, resume=device != first)
    assert found is not None
    assert_near(found, wanted)


@pytest.mark.parametrize("clip", ["null", "1"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_named(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Tensor] = []
    step = zoo.training.loop._step

    def spoiled(run: Any, inputs: Tensor, labels: Tensor) -> Any:
        if run.step == 2:
            kept.extend(value.clone() for value in run.module.parameters())
            inputs = inputs * torch.inf
        result = step(run, inputs, labels)
        if run.step > 2:
            assert all(torch.equal(a, b) for a, b in zip(kept, run.module.parameters(), strict=True))
        return result

    monkeypatch.setattr(zoo.training.loop, "_step", spoiled)
    with pretended_gpu(), pytest.raises(TrainingError, match=r"stopped in step 3 .*the loss is nan"):
        train(
            given("mlp", "train.checkpoint_every=4", f"train.clip_norm={clip}"),
            run_dir=tmp_path, device="cuda", progress=False,
        )  # fmt: skip
    assert kept


def test_the_benchmark_of_a_training_step_runs_on_the_device() -> None:
    request = {
        "recipe": "gridnet-digits", "overrides": ["model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}"],
        "steps": 3, "warmup": 2, "threads": 1, "device": "cuda", "data_dir": None, "products": True,
    }  # fmt: skip
    with pretended_gpu():
        found = measure(request)
    assert found["steps"] == 3
    assert found["products"] > 4
    assert found["gpu_peak_bytes"] == 0


def test_the_learning_rate_is_searched_on_the_device() -> None:
    with pretended_gpu():
        found = find_lr(given("mlp"), 1e-4, 0.1, 30, device="cuda")
    wanted = find_lr(given("mlp"), 1e-4, 0.1, 30, device="cpu")
    assert found.losses == pytest.approx(wanted.losses, rel=1e-4)


def test_more_processes_than_gpus_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with (
        pretended_gpu(),
        pytest.raises(TrainingError, match=r"started 2 processes .* sees 1 CUDA device, one for each"),
    ):
        train(given("mlp"), run_dir=tmp_path / "run", device="cuda", progress=False)
    assert not list((tmp_path / "run").glob("*.safetensors"))
