"""The ``model:`` section of a gridnet recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from zoo.families.base import FamilyConfig

if TYPE_CHECKING:
    pass


class PatchConfig(BaseModel):
    """A strided convolution that turns ``[C, H, W]`` images into ``channels`` faces of the grid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: PositiveInt = 4
    channels: PositiveInt = 8


class GridnetConfig(FamilyConfig):
    family: Literal["gridnet"] = "gridnet"
    grid: tuple[PositiveInt, PositiveInt, PositiveInt]
    """M, N, K: the image lies on the face k = 0 (rows along M, columns along N), the classes are read at K - 1."""
    block: PositiveInt = 8
    inner_steps: PositiveInt = 1
    outer_steps: PositiveInt = 12
    activation: Literal["silu", "relu", "leaky_relu", "tanh"] = "silu"
    gated: bool = False
    normalize: bool = False
    """Standardise every block before each inner step."""
    eps: float = Field(default=1e-5, gt=0)
    outer_residual: bool = False
    separate_params: bool = False
    """One set of step parameters per outer step instead of one for all."""
    recompute: PositiveInt = 1
    """Training keeps the grid of every so many outer steps and computes those between again, to save memory."""
    patch: PatchConfig | None = None
    output_layers: PositiveInt = 1
    """How many of the last faces the classifier reads."""
    init_scale: float = Field(default=1.0, gt=0)
    residual_scale: float = 1.0
    gate_bias: float = 2.0

    @model_validator(mode="after")
    def _check(self) -> GridnetConfig:
        if any(axis % self.block for axis in self.grid):
            raise ValueError(f"block {self.block} must divide every axis of the grid {list(self.grid)}")
        if self.gated and self.normalize:
            raise ValueError("normalize is not defined for gated steps; set one of them to false")
        if self.output_layers > self.grid[2]:
            raise ValueError(f"output_layers {self.output_layers} exceeds the grid's depth K = {self.grid[2]}")
        return self
