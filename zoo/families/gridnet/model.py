"""The gridnet classifier: embeds the image, evolves the grid and reads the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.kernels.gridnet import gated_gridnet_evolve, gridnet_evolve
from zoo.utils.errors import BuildError


class Gridnet(nn.Module):
    """The classifier: writes the image to the grid, runs ``outer_steps`` steps with LayerNorm, and reads the logits."""

    def __init__(self, config: GridnetConfig, task: Task) -> None:
        super().__init__()
        self.config = config
        sets = config.outer_steps if config.separate_params else 1
        channels = (2,) if config.gated else ()
        self.grid_init = nn.Parameter(torch.randn(config.grid))
        self.weight = nn.Parameter(torch.randn(sets, 27, *channels, *config.grid) * config.init_scale / 27**0.5)
        self.bias = nn.Parameter(torch.zeros(sets, *channels, *config.grid))
        if config.gated:
            with torch.no_grad():
                self.bias[:, 1] = config.gate_bias
        else:
            self.residual_scale = nn.Parameter(torch.full((sets, *config.grid), config.residual_scale))
        self.norm = nn.LayerNorm(config.grid)
        self.patch_embed = _patch_embedding(config.patch, task)
        self.face = _face(config, task)
        readout_shape = (*config.grid[:2], config.output_layers)
        self.readout_norm = nn.LayerNorm(readout_shape)
        self.readout = nn.Linear(readout_shape[0] * readout_shape[1] * readout_shape[2], task.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]``, normalised as in training -> logits ``[B, classes]``."""
        return self.read(self.evolve(self.embed(x)))

    def embed(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]`` -> initial grids ``[B, M, N, K]``: the learned grid, the image on its first faces."""
        faces = self.patch_embed(x).permute(0, 2, 3, 1)
        rows, columns, depth = self.face
        grid = self.grid_init.expand(len(x), *self.config.grid).clone()
        grid[:, rows, columns, depth] = faces.to(grid.dtype)
        return grid

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

    def read(self, grid: Tensor) -> Tensor:
        """Grids ``[B, M, N, K]`` -> logits ``[B, classes]`` from the last ``output_layers`` faces."""
        faces = grid[..., -self.config.output_layers :]
        logits: Tensor = self.readout(self.readout_norm(faces).flatten(1))
        return logits


def _patch_embedding(patch: PatchConfig | None, task: Task) -> nn.Module:
    if patch is None:
        return nn.Identity()
    return nn.Conv2d(task.input_shape[0], patch.channels, kernel_size=patch.size, stride=patch.size)


def _face(config: GridnetConfig, task: Task) -> tuple[slice, slice, slice]:
    """Return the part of the grid that holds the (embedded) image: centred on the first faces."""
    if len(task.input_shape) != 3:
        raise BuildError(f"gridnet takes images [C, H, W], found inputs of shape {list(task.input_shape)}")
    channels, height, width = task.input_shape
    if config.patch is not None:
        size = config.patch.size
        if height % size or width % size:
            raise BuildError(f"patch size {size} must divide the image size {height}x{width}")
        channels, height, width = config.patch.channels, height // size, width // size
    m, n, k = config.grid
    if height > m or width > n or channels > k:
        raise BuildError(f"an image of {channels}x{height}x{width} (CxHxW) does not fit the grid {[m, n, k]} (MxNxK)")
    top, left = (m - height) // 2, (n - width) // 2
    return slice(top, top + height), slice(left, left + width), slice(0, channels)
