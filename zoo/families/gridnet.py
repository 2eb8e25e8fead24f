"""gridnet: a 3-D grid of neurons, each wired to its 3x3x3 neighbourhood.

An image is written to one face of the grid, local steps carry it through, and the classes are read from the
opposite face. Source: the public gridnet repository (unixpickle/gridnet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from zoo.families import Family
from zoo.families.base import FamilyConfig, Findings, Learner, ProbeContext, Task
from zoo.kernels.gridnet import gated_gridnet_evolve, gridnet_evolve

if TYPE_CHECKING:
    import onnx


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


class Gridnet(nn.Module):
    """The classifier around the step: image in, ``outer_steps`` steps with LayerNorm between, logits out."""

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
        """Images ``[B, C, H, W]`` -> initial grids ``[B, M, N, K]``: the learned grid with the image on its face."""
        faces = self.patch_embed(x).permute(0, 2, 3, 1)
        rows, columns, depth = self.face
        grid = self.grid_init.expand(len(x), *self.config.grid).clone()
        grid[:, rows, columns, depth] = faces.to(grid.dtype)
        return grid

    def evolve(self, grid: Tensor) -> Tensor:
        """All outer steps: ``[B, M, N, K]`` -> ``[B, M, N, K]``."""
        return self._evolve(grid, slice(None), self.config.outer_steps)

    def outer_step(self, grid: Tensor, number: int) -> Tensor:
        """Outer step ``number`` (from 0) alone: ``[B, M, N, K]`` -> ``[B, M, N, K]``.

        Numbers beyond the trained ones are steps too where the parameters are shared; IndexError where they are not.
        """
        sets = len(self.weight)
        if number >= sets > 1:
            raise IndexError(f"outer step {number} has no parameters; there are those of steps 0 to {sets - 1}")
        first = number if sets > 1 else 0
        return self._evolve(grid, slice(first, first + 1), 1)

    def _evolve(self, grid: Tensor, sets: slice, outer_steps: int) -> Tensor:
        """So many outer steps with some of the parameter sets."""
        c, norm = self.config, self.norm
        if c.gated:
            return gated_gridnet_evolve(
                self.weight[sets], self.bias[sets], norm.weight, norm.bias, grid,
                outer_steps, c.inner_steps, c.block, c.activation, norm.eps, c.outer_residual, c.recompute,
            )  # fmt: skip
        return gridnet_evolve(
            self.weight[sets], self.bias[sets], self.residual_scale[sets], norm.weight, norm.bias, grid,
            outer_steps, c.inner_steps, c.block, c.eps, c.normalize, c.activation, norm.eps, c.outer_residual,
            c.recompute,
        )  # fmt: skip

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
    """Where the (embedded) image lies in the grid: centred on the first faces."""
    if len(task.input_shape) != 3:
        raise ValueError(f"gridnet takes images [C, H, W], the data has inputs of shape {list(task.input_shape)}")
    channels, height, width = task.input_shape
    if config.patch is not None:
        size = config.patch.size
        if height % size or width % size:
            raise ValueError(f"patch size {size} must divide the image size {height}x{width}")
        channels, height, width = config.patch.channels, height // size, width // size
    m, n, k = config.grid
    if height > m or width > n or channels > k:
        raise ValueError(f"an image of {channels}x{height}x{width} (CxHxW) does not fit the grid {[m, n, k]} (MxNxK)")
    top, left = (m - height) // 2, (n - width) // 2
    return slice(top, top + height), slice(left, left + width), slice(0, channels)


def _onnx_graph(module: Gridnet, task: Task) -> onnx.ModelProto:
    from zoo.families.gridnet_onnx import onnx_graph  # onnx is slow to import and needed to export only

    return onnx_graph(module, task)


def _probe(context: ProbeContext) -> Findings:
    from zoo.families.gridnet_probe import probe  # matplotlib is slow to import and needed to draw only

    return probe(context)


_ABOUT = """A gridnet is a 3-D grid of neurons. In every step each neuron takes a weighted sum of the 3x3x3 neurons
around it (weights of its own, not shared as in a convolution), an activation, and adds the result to its value; a
LayerNorm over the grid follows. The picture is written on the first faces, information travels one cell per step, and a
linear layer reads the classes off the last faces.

The network is that of [unixpickle/gridnet](https://github.com/unixpickle/gridnet), written anew, with kernels of its
own.
"""

FAMILY = Family(
    name="gridnet",
    config=GridnetConfig,
    build=Gridnet,
    learner=Learner,
    onnx_graph=_onnx_graph,
    about=_ABOUT,
    probe=_probe,
)
