"""The evolution of a grid as a layer: the part of a gridnet between embedding and readout."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from zoo.families.gridnet.config import GridnetConfig
from zoo.kernels.gridnet import gated_gridnet_evolve, gridnet_evolve

_BLOCK = 8


class GridEvolution(nn.Module):
    """The parameters of a grid's outer steps, and the steps."""

    config: GridnetConfig

    def add_steps(self, config: GridnetConfig) -> None:
        """Create the parameters: step weights, biases, residual scales (plain steps) and the LayerNorm."""
        self.config = config
        sets = config.outer_steps if config.separate_params else 1
        channels = (2,) if config.gated else ()
        self.weight = nn.Parameter(torch.randn(sets, 27, *channels, *config.grid) * config.init_scale / 27**0.5)
        self.bias = nn.Parameter(torch.zeros(sets, *channels, *config.grid))
        if config.gated:
            with torch.no_grad():
                self.bias[:, 1] = config.gate_bias
        else:
            self.residual_scale = nn.Parameter(torch.full((sets, *config.grid), config.residual_scale))
        self.norm = nn.LayerNorm(config.grid)

    def evolve(self, grid: Tensor) -> Tensor:
        """Run all outer steps: ``[B, M, N, K]`` -> ``[B, M, N, K]``."""
        return self._evolve(grid, slice(None), self.config.outer_steps)

    def outer_step(self, grid: Tensor, number: int) -> Tensor:
        """Run outer step ``number`` (from 0) alone: ``[B, M, N, K]`` -> ``[B, M, N, K]``.

        With shared parameters, ``number`` may exceed the trained steps; otherwise that raises IndexError.
        """
        sets = len(self.weight)
        if number >= sets > 1:
            raise IndexError(f"outer step {number} has no parameters; this module has those of steps 0 to {sets - 1}")
        first = number if sets > 1 else 0
        return self._evolve(grid, slice(first, first + 1), 1)

    def _evolve(self, grid: Tensor, sets: slice, outer_steps: int) -> Tensor:
        """Run ``outer_steps`` outer steps with the chosen parameter sets."""
        c, norm = self.config, self.norm
        if c.gated:
            return gated_gridnet_evolve(
                weight=self.weight[sets],
                bias=self.bias[sets],
                norm_weight=norm.weight,
                norm_bias=norm.bias,
                x=grid,
                outer_steps=outer_steps,
                inner_steps=c.inner_steps,
                block=c.block,
                activation=c.activation,
                norm_eps=norm.eps,
                outer_residual=c.outer_residual,
                recompute=c.recompute,
            )
        return gridnet_evolve(
            weight=self.weight[sets],
            bias=self.bias[sets],
            residual_scale=self.residual_scale[sets],
            norm_weight=norm.weight,
            norm_bias=norm.bias,
            x=grid,
            outer_steps=outer_steps,
            inner_steps=c.inner_steps,
            block=c.block,
            eps=c.eps,
            normalize=c.normalize,
            activation=c.activation,
            norm_eps=norm.eps,
            outer_residual=c.outer_residual,
            recompute=c.recompute,
        )


class GridnetLayer(GridEvolution):
    """A grid of neurons that evolves for ``outer_steps``: ``[B, M, N, K]`` -> ``[B, M, N, K]``.

    In every outer step each neuron adds the activation of a weighted sum over the 3x3x3 neurons around it to its value,
    with weights of its own, ``inner_steps`` times per block; a LayerNorm over the grid follows. With ``gated``, a
    learned gate blends the old and the new value instead.

    ``grid`` is (M, N, K) in cells. ``block`` divides all three; by default it is their largest common divisor up to 8.
    The other options are those of :class:`zoo.families.gridnet.config.GridnetConfig`. Inputs are float32 or float64 on
    the CPU, also float16 or bfloat16 on CUDA. Raises ValueError for options that do not fit each other.
    """

    def __init__(
        self,
        grid: tuple[int, int, int],
        *,
        block: int | None = None,
        outer_steps: int = 12,
        inner_steps: int = 1,
        activation: Literal["silu", "relu", "leaky_relu", "tanh"] = "silu",
        gated: bool = False,
        normalize: bool = False,
        outer_residual: bool = False,
        separate_params: bool = False,
        recompute: int = 1,
        init_scale: float = 1.0,
        residual_scale: float = 1.0,
        gate_bias: float = 2.0,
    ) -> None:
        super().__init__()
        try:
            config = GridnetConfig(
                grid=grid,
                block=_largest_block(grid) if block is None else block,
                outer_steps=outer_steps,
                inner_steps=inner_steps,
                activation=activation,
                gated=gated,
                normalize=normalize,
                outer_residual=outer_residual,
                separate_params=separate_params,
                recompute=recompute,
                init_scale=init_scale,
                residual_scale=residual_scale,
                gate_bias=gate_bias,
            )
        except ValidationError as error:
            found = error.errors()[0]
            place = "".join(f"{part}: " for part in found["loc"][:1])
            raise ValueError(f"{place}{found['msg'].removeprefix('Value error, ')}") from error
        self.add_steps(config)

    def forward(self, x: Tensor) -> Tensor:
        """Grids ``[B, M, N, K]`` -> grids of the same shape after all outer steps."""
        return self.evolve(x)

    def extra_repr(self) -> str:
        c = self.config
        kind = ", gated" if c.gated else ""
        return f"{c.grid}, block={c.block}, outer_steps={c.outer_steps}, inner_steps={c.inner_steps}{kind}"


def _largest_block(grid: tuple[int, int, int]) -> int:
    """Return the largest side of a block, up to 8 cells, that divides every axis."""
    common = math.gcd(*grid)
    return max(size for size in range(1, _BLOCK + 1) if common % size == 0)
