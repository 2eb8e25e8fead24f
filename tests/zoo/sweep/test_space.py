from __future__ import annotations

import pytest

from zoo.sweep.space import Range, overrides, parse_space
from zoo.utils.errors import SweepError


def test_lists_ranges_and_single_values_are_told_apart() -> None:
    space = parse_space(
        ["train.clip_norm=1,null", "model.grid=[8,8,4],[12,12,4]", "train.ema=0.9..0.99", "train.batch_size=8..16",
         "train.optimizer.lr=log(1e-4..1e-2)", "train.epochs=5", "train.seed=3,1"]
    )  # fmt: skip
    assert space.choices == {"train.clip_norm": (1, None), "model.grid": ("[8,8,4]", "[12,12,4]")}
    assert space.ranges == {
        "train.ema": Range(0.9, 0.99, log=False),
        "train.batch_size": Range(8, 16, log=False),
        "train.optimizer.lr": Range(1e-4, 1e-2, log=True),
    }
    assert space.fixed == ("train.epochs=5",)
    assert space.seeds == (3, 1)


def test_a_key_below_another_one_is_set_after_it() -> None:
    space = parse_space(["model.hidden=[8]", "train.steps=4", "model.layer=a,b", "model={family: mlp},{family: cnn}"])
    [first, *_] = space.grid()
    assert overrides(space.fixed, first) == [
        "train.steps=4", "model={family: mlp}", "model.layer=a", "model.hidden=[8]",
    ]  # fmt: skip


def test_the_last_of_two_single_values_counts() -> None:
    assert parse_space(["train.steps=4", "train.seed=0,1", "train.steps=5"]).fixed == ("train.steps=5",)
    with pytest.raises(SweepError, match=r"train\.steps is given twice, as 4 and 1\.\.5; list all"):
        parse_space(["train.steps=4", "train.steps=1..5"])


def test_a_value_given_twice_is_refused() -> None:
    with pytest.raises(SweepError, match=r"train\.steps=4,4: found the value 4 twice, allowed each once"):
        parse_space(["train.steps=4,4"])
