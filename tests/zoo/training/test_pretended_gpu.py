"""Whole trainings on a pretended CUDA device: nothing mixes devices, no step waits, and the numbers are the CPU's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo.training.loop
from tests.support.pretended_gpu import CUDA, Pretended, pretended_gpu, waits
from tests.zoo.training.test_waiting import RECIPES
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult
from zoo.utils.errors import TrainingInterruptedError

LENGTH = ["train.epochs=null", "train.batch_size=16", "train.log_every=1000", "train.steps=4", "train.checkpoint_every=2", "train.eval_batch_size=999"]
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
