"""A resumed run ends exactly as an uninterrupted one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.training import fit, interrupt, stop_at, weights
from zoo.families.learner import Learner
from zoo.training.checkpoint import load_checkpoint
from zoo.utils.errors import TrainingInterruptedError


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


def test_the_learners_random_numbers_and_state_are_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(self: Learner, step: int) -> None:
        self.__dict__.setdefault("drawn", []).append(torch.rand(1))

    monkeypatch.setattr(Learner, "on_step_end", draw)
    monkeypatch.setattr(Learner, "state_dict", lambda self: {"drawn": self.__dict__.get("drawn", [])})
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


def test_resuming_a_finished_run_returns_its_result_again(tmp_path: Path) -> None:
    first = fit(tmp_path)
    again = fit(tmp_path, resume=True)
    assert torch.equal(weights(again.module), weights(first.module))
    assert again.test == first.test
