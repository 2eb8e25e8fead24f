"""The ``model:`` section of an mlp recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.families.base import FamilyConfig
from zoo.families.sparsity_config import SparsityConfig

Width = Annotated[int, Field(ge=1, le=8192)]


class MlpConfig(FamilyConfig):
    """The layers of a multilayer perceptron."""

    family: Literal["mlp"] = "mlp"
    """The family's name."""
    hidden: tuple[Width, ...] = Field(default=(256, 128), max_length=64)
    """Units of the hidden layers; empty: logistic regression."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Activation of the hidden units."""
    dropout: float = Field(default=0, ge=0, lt=1)
    """Probability that a hidden unit is dropped in training."""
    sparsity: SparsityConfig | None = None
    """Few edges; null: all of them."""
