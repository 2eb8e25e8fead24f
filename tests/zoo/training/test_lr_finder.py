from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import zoo.training.lr_finder
import zoo.training.setup
from tests.support.command import fails, run
from tests.support.training import small
from zoo.config.train import TrainConfig
from zoo.recipe import load_recipe
from zoo.training.lr_finder import _steepest, find_lr
from zoo.training.run import Run
from zoo.utils.errors import TrainingError


def test_the_suggestion_lies_where_the_loss_falls() -> None:
    curve = find_lr(small("train.batch_size=256"), 1e-4, 1e4, 60, device="cpu")
    position = curve.rates.index(curve.suggestion)
    assert 1e-4 < curve.suggestion < 1
    assert min(curve.losses) < 0.9 * curve.losses[0]
    assert curve.losses[position + 1] < curve.losses[position - 1]
    assert len(curve.rates) < 60  # it ends once the loss has exploded


@pytest.mark.parametrize("recipe", ["cellnet-digits", "normnet-digits", "mlp-digits"])
def test_the_suggestion_of_a_family_is_not_where_the_mean_has_not_settled_or_recovers(recipe: str) -> None:
    curve = find_lr(load_recipe(recipe), device="cpu")
    assert 1e-3 < curve.suggestion < 0.1
    position = curve.rates.index(curve.suggestion)
    assert 10 < position <= curve.losses.index(min(curve.losses))


def test_a_loss_that_does_not_fall_is_one_line() -> None:
    line = fails(1, "find-lr", "mlp-digits", "--low", "1e-30", "--high", "1e-20", "--device", "cpu")
    assert "learning rates from 1e-30 to 1e-20: the loss falls nowhere" in line


def test_the_command_prints_a_suggestion_and_writes_only_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["nca-iris", "--steps", "60", "--device", "cpu", "--out", "lr.png"]
    result = run("find-lr", *arguments)
    assert result.exit_code == 0, result.output
    assert "try: -o train.optimizer.lr=" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["lr.png"]
    found = json.loads(run("find-lr", *arguments[:-2], "--json").output)
    assert found["suggestion"] in found["rates"]


def test_rates_that_are_no_range_are_refused() -> None:
    assert "should be a .png file in a folder that exists" in fails(2, "find-lr", "nca-iris", "--out", "x/lr.png")
    line = fails(1, "find-lr", "nca-iris", "--low", "1", "--high", "0.1")
    assert "learning rates: found 1 to 0.1 in 100 steps, allowed a lowest rate above 0 and a higher one" in line
    with pytest.raises(TrainingError, match="found 0 to 10 in 100 steps, allowed a lowest rate above 0"):
        find_lr(small(), 0.0)


def test_the_suggestion_is_the_middle_of_the_steepest_fall() -> None:
    smooth = [*np.linspace(2.0, 1.9, 40), *np.linspace(1.9, 0.9, 11)[1:], *np.linspace(0.9, 0.8, 21)[1:], 3.0]
    losses = [*smooth]
    assert _steepest(losses, smooth, 10) == 44  # the fall begins at batch 39 and takes ten


def test_a_fall_counts_if_it_exceeds_twice_the_spread_of_neighbours() -> None:
    losses = [2.0 + 0.5 * (number % 2) for number in range(60)]
    for fall, found in ((0.9, False), (1.1, True)):
        smooth = [*[2.0] * 30, *np.linspace(2.0, 2.0 - fall, 30)]
        assert (_steepest(losses, smooth, 10) is not None) == found


def test_parameter_groups_keep_the_ratio_of_their_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def note(run: Run, result: object) -> dict[str, float]:
        seen.append([group["lr"] for group in run.optimizer.param_groups])
        return {}

    def slow(module: nn.Module, settings: TrainConfig, taken: object) -> list[dict[str, Any]]:
        first, *others = module.parameters()
        return [{"params": others, "lr": 0.1}, {"params": [first], "lr": 0.02}]

    monkeypatch.setattr(zoo.training.setup, "parameter_groups", slow)
    monkeypatch.setattr(zoo.training.lr_finder, "update_weights", note)
    with pytest.raises(TrainingError, match="the loss falls nowhere"):
        find_lr(small(), 1e-3, 1e-1, 5, device="cpu")
    np.testing.assert_allclose(seen, [[rate, rate / 5] for rate in np.geomspace(1e-3, 1e-1, 5)])
