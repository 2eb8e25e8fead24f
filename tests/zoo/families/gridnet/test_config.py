"""Gridnet's configs that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.gridnet import build


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 4}, r"block 4 must divide every axis of the grid \[6, 6, 4\]"),
        ({"gated": True, "normalize": True}, "normalize is not defined for gated steps"),
        ({"output_layers": 5}, "output_layers 5 exceeds the grid's depth K = 4"),
        ({"activation": "gelu"}, "silu"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_an_invalid_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)
