"""CellNet's configs that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.cellnet import build


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
        ({"steps": 0}, "greater than 0"),
        ({"core_lr": 0}, "greater than 0"),
    ],
)
def test_an_invalid_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)
