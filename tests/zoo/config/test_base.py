from __future__ import annotations

import pytest
from pydantic import ValidationError

from zoo.config.base import CountOrFraction, Section


class Half(Section):
    part: CountOrFraction = 0.5


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Half.model_validate({"parts": 1})


def test_values_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Half().part = 1  # type: ignore[misc]


@pytest.mark.parametrize("value", [0, 3, 0.0, 0.99])
def test_an_integer_is_a_count_and_a_float_a_fraction(value: float) -> None:
    part = Half(part=value).part
    assert (part, type(part)) == (value, type(value))


@pytest.mark.parametrize("value", [-1, 1.0, -0.1, True, "1", None])
def test_a_value_that_is_neither_a_count_nor_a_fraction_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="should be a whole number"):
        Half.model_validate({"part": value})
