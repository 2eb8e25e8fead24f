"""The ``model:`` section of a gridnet recipe."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from zoo.config.base import MOST_ITERATIONS, Iterations, PositiveInt, Section, Size
from zoo.families.base import FamilyConfig

_MOST_STEPS = 100_000
"""Most updates of a block in one prediction."""


class PatchConfig(Section):
    """A strided convolution that turns ``[C, H, W]`` images into ``channels`` faces of the grid."""

    size: Size = 4
    """Side of the square kernel, and the stride, in pixels."""
    channels: PositiveInt = 8
    """Number of faces that receive the image."""


def _usual_block(known: dict[str, Any]) -> int:
    """Return the largest side of at most 8 that divides every axis of the grid."""
    common = math.gcd(*known.get("grid", (8,)))  # missing if it is invalid, which is then the error
    return max(side for side in range(1, 9) if common % side == 0)


class GridnetConfig(FamilyConfig):
    """The shape, the steps and the initial values of a gridnet."""

    family: Literal["gridnet"] = "gridnet"
    """The family's name."""
    grid: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(examples=[[8, 8, 8]])
    """M, N, K: rows of the image lie along M, columns along N. Its channels, or those of ``patch``, enter at the first
    faces, from k = 0 on; the classes are read at the last ``output_layers`` faces."""
    block: PositiveInt = Field(
        default_factory=_usual_block, json_schema_extra={"default": "the largest up to 8 that divides grid"}
    )
    """Side of the cubic blocks, in cells; divides M, N and K."""
    inner_steps: int = Field(default=1, ge=0, le=MOST_ITERATIONS)
    """Updates of each block per outer step; 0: an outer step is its LayerNorm alone."""
    outer_steps: Iterations = 12
    """Steps of the whole grid, each with a LayerNorm."""
    activation: Literal["silu", "relu", "leaky_relu", "tanh"] = "silu"
    """Activation of each cell's weighted sum."""
    gated: bool = False
    """Blend each cell's old and new value by a learned gate."""
    normalize: bool = False
    """Standardise every block, its shell included, before each inner step."""
    eps: float = Field(default=1e-5, gt=0)
    """Added to the standard deviation when ``normalize`` is set."""
    outer_residual: bool = False
    """Add each outer step to its input: ``h + step(norm(h)) - norm(h)`` instead of ``norm(step(h))``."""
    separate_params: bool = False
    """One set of step parameters per outer step, instead of one for all of them."""
    recompute: PositiveInt = 1
    """Training saves only the grid before every ``recompute``-th outer step and computes the others again."""
    patch: PatchConfig | None = None
    """A convolution before the grid; null: the image enters as it is, one face per channel."""
    output_layers: PositiveInt = 1
    """Number of last faces that the classifier reads."""
    init_scale: float = Field(default=1.0, gt=0)
    """Weights start as N(0, init_scale^2 / 27)."""
    residual_scale: float = 1.0
    """Initial value of the residual scales."""
    gate_bias: float = 2.0
    """Initial value of the gates' biases."""

    def faces(self, channels: int) -> tuple[int, int, int]:
        """Return how many faces an image of so many channels enters, how many are read, and how many there are."""
        return self.patch.channels if self.patch else channels, self.output_layers, self.grid[2]

    @model_validator(mode="after")
    def _check(self) -> GridnetConfig:
        if any(axis % self.block for axis in self.grid):
            raise ValueError(f"block {self.block} must divide every axis of the grid {list(self.grid)}")
        if self.inner_steps * self.outer_steps > _MOST_STEPS:
            raise ValueError(
                f"inner_steps {self.inner_steps} times outer_steps {self.outer_steps} should not exceed {_MOST_STEPS}"
            )
        if self.gated and self.normalize:
            raise ValueError("normalize is not defined for gated steps; set one of them to false")
        if self.output_layers > self.grid[2]:
            raise ValueError(f"output_layers {self.output_layers} exceeds the grid's depth K = {self.grid[2]}")
        return self
