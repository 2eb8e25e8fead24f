from __future__ import annotations

import pytest

from zoo.sweep.space import Range, Space, overrides, parse_space
from zoo.utils.errors import CellzooError


def test_lists_ranges_seeds_and_plain_overrides_are_told_apart() -> None:
    space = parse_space(
        [
            "train.optimizer.lr=log(1e-4..1e-2)",
            "train.clip_norm=0.5..2",
            "model.outer_steps=2..8",
            "model.grid=[8, 8, 4],[12, 12, 4]",
            "train.ema=null,0.99",
            "train.epochs=3",
            "train.seed=0,1,2",
        ]
    )
    assert space.ranges == {
        "train.optimizer.lr": Range(1e-4, 1e-2, log=True),
        "train.clip_norm": Range(0.5, 2.0, log=False),
        "model.outer_steps": Range(2, 8, log=False),
    }
    assert space.choices == {"model.grid": ("[8, 8, 4]", "[12, 12, 4]"), "train.ema": (None, 0.99)}
    assert space.fixed == ("train.epochs=3",)
    assert space.seeds == (0, 1, 2)


def test_a_grid_combines_every_value_with_every_other() -> None:
    grid = list(parse_space(["train.batch_size=16,32", "train.optimizer.name=adam,adamw"]).grid())
    assert len(grid) == 4
    assert overrides(grid[1]) == ["train.batch_size=16", "train.optimizer.name=adamw"]


def test_a_path_or_a_quoted_comma_is_one_value() -> None:
    space = parse_space(["data.path=../images", "export.licence='a, b'", "train.seed=1,2"])
    assert space == Space(("data.path=../images", "export.licence='a, b'"), {}, {}, (1, 2))


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["train.epochs=5"], "nothing to sweep over"),
        ([], "nothing to sweep over"),
        (["train.optimizer.lr"], "key.path=VALUES"),
        (["train..lr=1,2"], "key.path=VALUES"),
        (["train.optimizer.lr=1e-3,0.001"], "twice"),
        (["train.optimizer.lr=1e-3,,1e-2"], "empty value"),
        (["train.optimizer.lr=1e-3,"], "empty value"),
        (["train.optimizer.lr=1e-2..1e-3"], "below the second"),
        (["train.optimizer.lr=1..1"], "below the second"),
        (["train.optimizer.lr=log(0..1)"], "above 0"),
        (["train.optimizer.lr=log(-1..1)"], "above 0"),
        (["train.optimizer.lr=log(1e-3)"], "LOW..HIGH"),
        (["train.optimizer.lr=log(a..b)"], "numbers"),
        (["train.optimizer.lr=1...inf"], "below the second"),
        (["train.seed=0..3"], "seeds are listed"),
        (["train.seed=0,one"], "whole numbers"),
        (["train.seed=-1,0"], "whole numbers"),
        (["train.seed=true,0"], "whole numbers"),
        (["data.validation=40,80"], "would not compare"),
        (["data.seed=1..5"], "would not compare"),
        (["export.licence=MIT,ISC"], "one model"),
        ([f"train.{key}={','.join(map(str, range(1, 200)))}" for key in ("epochs", "steps", "batch_size")], "allowed"),
        (["train.optimizer.lr=yes,1"], "yes"),
    ],
)
def test_values_that_mean_nothing_are_refused_in_one_line(assignments: list[str], words: str) -> None:
    with pytest.raises(CellzooError) as caught:
        parse_space(assignments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_value_and_both_ends_are_tried_against_the_recipe() -> None:
    space = parse_space(["train.epochs=1..9", "train.batch_size=16,32"])
    assert list(space.corners()) == [
        {"train.batch_size": 16, "train.epochs": 1},
        {"train.batch_size": 32, "train.epochs": 1},
        {"train.batch_size": 16, "train.epochs": 9},
    ]
