"""The task that a data set poses to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Task:
    """What the data asks of a model: the shape of one input (``[C, H, W]`` or ``[features]``) and the classes."""

    input_shape: tuple[int, ...]
    num_classes: int
