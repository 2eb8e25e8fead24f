"""The gridnet classifier: embeds the image, evolves the grid and reads the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.base import Ends
from zoo.families.gridnet.config import GridnetConfig, PatchConfig
from zoo.families.gridnet.ends import FaceNorm, Patches, Readout
from zoo.families.gridnet.layers import GridEvolution
from zoo.utils.errors import BuildError


class Gridnet(GridEvolution):
    """The classifier: writes the image to the grid, runs ``outer_steps`` steps with LayerNorm, and reads the logits."""

    def __init__(self, config: GridnetConfig, task: Task) -> None:
        super().__init__()
        self.grid_init = nn.Parameter(torch.randn(config.grid))
        self.add_steps(config)
        self.patch_embed = _patch_embedding(config.patch, task)
        self.face = _face(config, task)
        readout_shape = (*config.grid[:2], config.output_layers)
        self.readout_norm = FaceNorm(readout_shape)
        self.readout = Readout(readout_shape[0] * readout_shape[1] * readout_shape[2], task.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]``, normalised as in training -> logits ``[B, classes]``."""
        return self.read(self.evolve(self.embed(x)))

    def embed(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]`` -> initial grids ``[B, M, N, K]``: the learned grid, the image on its first faces."""
        faces = self.patch_embed(x).permute(0, 2, 3, 1)
        rows, columns, depth = self.face
        grid = self.grid_init.expand(x.shape[0], *self.config.grid).clone()  # len(x) would fix it in torch.export
        grid[:, rows, columns, depth] = faces.to(grid.dtype)
        return grid

    def read(self, grid: Tensor) -> Tensor:
        """Grids ``[B, M, N, K]`` -> logits ``[B, classes]`` from the last ``output_layers`` faces."""
        faces = grid[..., -self.config.output_layers :]
        logits: Tensor = self.readout(self.readout_norm(faces).flatten(1))
        return logits


def ends(module: Gridnet) -> Ends:
    """Return the parameters with a slice per class; the image enters the grid without weights, or by a convolution."""
    return Ends(classes={"readout.weight": 0, "readout.bias": 0})


def _patch_embedding(patch: PatchConfig | None, task: Task) -> nn.Module:
    if patch is None:
        return nn.Identity()
    return Patches(task.input_shape[0], patch.channels, patch.size)


def _face(config: GridnetConfig, task: Task) -> tuple[slice, slice, slice]:
    """Return the part of the grid that holds the (embedded) image: centred on the first faces."""
    if len(task.input_shape) != 3:
        raise BuildError(f"gridnet takes images [C, H, W], found inputs of shape {list(task.input_shape)}; "
                         "for a table, choose a recipe of another family")  # fmt: skip
    channels, height, width = task.input_shape
    if config.patch is not None:
        size = config.patch.size
        if height % size or width % size:
            raise BuildError(f"patch size {size} must divide the image size {height}x{width}; "
                             "set data.image_size or model.patch.size")  # fmt: skip
        channels, height, width = config.patch.channels, height // size, width // size
    m, n, k = config.grid
    if height > m or width > n or channels > k:
        raise BuildError(f"an image of {channels}x{height}x{width} (CxHxW) does not fit the grid {[m, n, k]} (MxNxK); "
                         "set data.image_size or model.grid")  # fmt: skip
    top, left = (m - height) // 2, (n - width) // 2
    return slice(top, top + height), slice(left, left + width), slice(0, channels)
