"""The family in the training loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo.training.loop
from tests.support.snapshots import SHORT
from zoo.data.sampling import evaluation_batches
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.utils.errors import TrainingError, TrainingInterruptedError


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("snapshots-digits", SHORT)
    straight = train(recipe, run_dir=tmp_path / "straight", device="cpu", progress=False)
    save, saved = zoo.training.loop.save_checkpoint, []

    def interrupt(*args: object) -> None:
        save(*args)  # type: ignore[arg-type]
        saved.append(args)
        if len(saved) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(zoo.training.loop, "save_checkpoint", interrupt)
    with pytest.raises(TrainingInterruptedError):
        train(recipe, run_dir=tmp_path / "broken", device="cpu", progress=False)
    monkeypatch.setattr(zoo.training.loop, "save_checkpoint", save)
    resumed = train(recipe, run_dir=tmp_path / "broken", device="cpu", progress=False, resume=True)
    assert straight.findings == resumed.findings
    for name, tensor in straight.module.state_dict().items():
        assert torch.equal(tensor, resumed.module.state_dict()[name]), name
    assert straight.test == resumed.test


def test_the_final_validation_and_test_are_of_the_ensemble(tmp_path: Path) -> None:
    result = train(load_recipe("snapshots-digits", SHORT), run_dir=tmp_path, device="cpu", progress=False)
    net = result.module
    assert net.has_ensemble
    part = result.data.validation
    with torch.inference_mode():
        batches = part.stream(evaluation_batches(len(part), 64), torch.device("cpu"))
        correct = sum(int((net(inputs).argmax(-1) == labels).sum()) for inputs, labels in batches)
    assert result.validation.correct == correct


def test_a_running_average_of_the_weights_is_refused(tmp_path: Path) -> None:
    recipe = load_recipe("snapshots-digits", [*SHORT, "train.ema=0.9"])
    with pytest.raises(
        TrainingError, match=r"train\.ema: a running average of the weights does not fit family snapshots"
    ):
        train(recipe, run_dir=tmp_path, device="cpu", progress=False)
    assert list(tmp_path.iterdir()) == []
