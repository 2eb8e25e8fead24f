"""The ``model:`` section of a cnn recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.config.base import PositiveInt
from zoo.families.base import FamilyConfig
from zoo.families.sparsity_config import SparsityConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class CnnConfig(FamilyConfig):
    """The stages and the fully connected layers of a convolutional network."""

    family: Literal["cnn"] = "cnn"
    """The family's name."""
    channels: tuple[Width, ...] = Field(default=(32, 64), min_length=1, max_length=16)
    """Channels of the stages; each halves height and width by max pooling."""
    convolutions: PositiveInt = Field(default=1, le=16)
    """3x3 convolutions per stage, each with batch normalisation and ReLU."""
    hidden: tuple[Width, ...] = Field(default=(128,), max_length=16)
    """Units of the fully connected hidden layers."""
    dropout: float = Field(default=0, ge=0, lt=1)
    """Probability that a value is dropped in training, before each fully connected layer."""
    sparsity: SparsityConfig | None = None
    """Few edges; null: all of them."""
