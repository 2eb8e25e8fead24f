"""The base of every section of a recipe, and the types its keys share.

Unknown keys are refused everywhere. A validator's message begins with the key it is about, so that an error can name
the key's path.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)


def _count_or_fraction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a whole number, or a fraction between 0 and 1")
    if value < 0 or (isinstance(value, float) and value >= 1):
        raise ValueError("should be a whole number of at least 0, or a fraction of at least 0 and below 1")
    return value


CountOrFraction = Annotated[int | float, BeforeValidator(_count_or_fraction)]
"""An int counts, a float is a fraction of the whole."""
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change once built."""

    model_config = ConfigDict(extra="forbid", frozen=True)
