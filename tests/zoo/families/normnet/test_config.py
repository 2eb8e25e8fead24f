"""Normnet's configs and layer settings that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.normnet import build
from zoo.families.normnet.config import LayerSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clamp": 1.6}, "clamp: found 1.6, expected a bound above 0 and below pi/2"),
        ({"kind": "tan"}, "kind: found 'tan', expected one of norm, linear, plain"),
        ({"activation": "gelu"}, "activation: found 'gelu', expected one of tanh, sigmoid, relu"),
    ],
)
def test_invalid_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerSettings(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clamp": 1.6}, "less than 1.57"),
        ({"residual": True, "layer": "plain"}, "residual is not defined for plain layers"),
        ({"power": 0.5}, "greater than or equal to 1"),
        ({"tree": {"pressure": 1.1}}, "less than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
        ({"view": "rows"}, "view rows is for convolutions, found none"),
    ],
)
def test_an_invalid_config_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(**options)
