from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import fails, run
from tests.support.training import small
from zoo.recipe import load_recipe
from zoo.training.lr_finder import find_lr
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
