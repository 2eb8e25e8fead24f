"""CellNet's configs that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.cellnet import build
from zoo.families.cellnet.config import CellnetConfig, StemConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_cells": 3, "out_cells": 2}, "in_cells 3 and out_cells 2 together exceed the 4 cells"),
        ({"core": (4, 4)}, "core lists 2 sizes, expected one for each of the 4 cells"),
        ({"input_steps": 5}, "input_steps 5 must not exceed the 4 steps"),
        ({"truncate": 5}, "truncate 5 must not exceed the 4 steps"),
        ({"input_steps": 1}, "input_steps 1 must be at least 2, the step in which the input reaches OutCell 3"),
        ({"topology": {"name": "explicit", "edges": ((0, 1),)}}, "topology has no path from an InCell to OutCell 3"),
        ({"cells": 1}, "greater than or equal to 2"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"core_lr": 0}, "greater than 0"),
    ],
)
def test_an_invalid_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (8, 8), "convolutions": (2,)}, "convolutions lists 1 numbers, expected one for each of the 2 st"),
        ({"channels": (8,), "convolutions": (1, 2)}, "convolutions lists 2 numbers, expected one for each of the 1 st"),
        ({"convolutions": 0}, "greater than or equal to 1"),
        ({"convolutions": (1, 0)}, "greater than or equal to 1"),
        ({"padding": 2}, "less than or equal to 1"),
        ({"padding": -1}, "greater than or equal to 0"),
        ({"channels": ()}, "at least 1"),
    ],
)
def test_an_invalid_stem_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StemConfig(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convolutions": 2},
        {"convolutions": (1, 2)},
        {"padding": 1},
        {"pool": "last"},
        {"batch_norm": True},
        {"channels": (8, 16)},
    ],
)
def test_a_recipe_names_the_newer_keys_of_a_stem_only_where_they_are_used(options: dict[str, Any]) -> None:
    config = CellnetConfig(cells=4, stem=StemConfig(**options))
    stored = config.model_dump()
    assert set(stored["stem"]) == {"channels", "dropout", *options}
    assert CellnetConfig.model_validate(stored) == config
