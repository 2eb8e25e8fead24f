"""The base class of every section of a recipe, and the types that their keys share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """Base of every section: refuses unknown keys, and its values cannot change once it is built.

    The docstring below each key is its description in docs/guides/recipe-keys.md. A validator's message must begin with
    the key that it is about, so that the recipe's error can name the key's path.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _check_count_or_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a whole number, or a fraction between 0 and 1")
    if not 0 <= value <= LARGEST_COUNT or (isinstance(value, float) and value >= 1):
        raise ValueError("should be a whole number of at least 0, or a fraction of at least 0 and below 1")
    return value


LARGEST_COUNT = 2**31 - 1
PositiveInt = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
NonNegativeInt = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
MOST_ITERATIONS = 100_000
Iterations = Annotated[int, Field(ge=1, le=MOST_ITERATIONS)]
"""A count of iterations in one prediction, whose time grows with it."""
Size = Annotated[int, Field(ge=1, le=1024)]
"""A length in pixels or positions that a few weights span, however large it is."""
CountOrFraction = Annotated[int | float, BeforeValidator(_check_count_or_fraction)]
"""An int is a count of at least 0, a float a fraction in [0, 1) of the whole."""
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
"""The share of a running average that survives each step."""
