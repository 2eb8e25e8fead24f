"""The cases of the kernel benchmark: a call of a gridnet kernel, its useful operations, its least memory traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEIGHBOURS = 27
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Case:
    """A single step (``outer`` is None) or an evolution with LayerNorm and shared parameters, in float32."""

    grid: tuple[int, int, int]
    batch: int
    block: int
    inner: int = 1
    outer: int | None = None
    gated: bool = False
    normalize: bool = False
    training: bool = False
    """True for forward and backward with every gradient, False for forward alone."""

    @property
    def name(self) -> str:
        """The name of the case in reports, such as ``step, forward``."""
        what = "step" if self.outer is None else f"evolution of {self.outer}"
        return f"{what}, {'forward + backward' if self.training else 'forward'}"

    @property
    def setting(self) -> str:
        """The sizes and options as text."""
        parts = ["x".join(map(str, self.grid)), f"batch {self.batch}"]
        if self.inner > 1:
            parts.append(f"inner {self.inner} block {self.block}")
        parts += ["gated"] * self.gated + [f"normalised blocks of {self.block}"] * self.normalize
        return ", ".join(parts)

    @property
    def cells(self) -> int:
        """The number of cells in the grid."""
        return self.grid[0] * self.grid[1] * self.grid[2]

    def flops(self) -> int:
        """Return the useful operations: a multiply and an add per weight and step, times three in training."""
        steps = self.inner * (self.outer or 1)
        weights = NEIGHBOURS * (2 if self.gated else 1)
        return 2 * weights * self.cells * self.batch * steps * (3 if self.training else 1)

    def bytes(self, between_steps: bool = False) -> int:
        """Return the least traffic with main memory in bytes: every tensor once, and the states saved for backward.

        Forward reads x and the parameters and writes the result. Training also writes and reads the states between
        outer steps, reads the parameters, x and the result's gradient, and writes the gradient of each input. With
        ``between_steps``, as on a GPU, no sample stays in fast memory from one outer step to the next: each step reads
        and writes the state, and in training also the state's gradient, for which it reads the state again.
        """
        channels = 2 if self.gated else 1
        parameters = (NEIGHBOURS + 1) * channels + (not self.gated) + 2 * (self.outer is not None)
        saved = (self.outer or 1) - 1
        states, copies = (5 + 2 * saved, 3) if self.training else (2, 1)
        if between_steps:
            states = (5 if self.training else 2) * (self.outer or 1)
        return _FLOAT * self.cells * (states * self.batch + copies * parameters)

    def tensors(self, device: str = "cpu") -> list[Tensor]:
        """Return fixed random arguments in the order of the kernels, x last; in training they require gradients."""
        generator = torch.Generator().manual_seed(0)
        sets = () if self.outer is None else (1,)
        channels = (2,) if self.gated else ()
        shapes: list[tuple[int, ...]] = [(*sets, NEIGHBOURS, *channels, *self.grid), (*sets, *channels, *self.grid)]
        if not self.gated:
            shapes.append((*sets, *self.grid))
        if self.outer is not None:
            shapes += [self.grid, self.grid]
        shapes.append((self.batch, *self.grid))
        tensors = [torch.randn(shape, generator=generator).to(device) for shape in shapes]
        tensors[0] /= NEIGHBOURS**0.5
        return [tensor.requires_grad_(self.training) for tensor in tensors]


def default_block(grid: tuple[int, int, int]) -> int:
    """Return the largest block side up to 8 that divides the grid."""
    return next(side for side in range(8, 0, -1) if not any(axis % side for axis in grid))


def standard_cases(grid: tuple[int, int, int], batch: int, outer: int) -> list[Case]:
    """Return step and evolution, each forward and in training."""
    step = Case(grid, batch, default_block(grid))
    cases = [step, replace(step, outer=outer)]
    return [replace(case, training=training) for case in cases for training in (False, True)]


def sweep_cases(quick: bool) -> list[Case]:
    """Return evolutions of four steps in other shapes, batch sizes and variants; the first two are the baseline."""
    side, batch, batches = (8, 4, (1, 8)) if quick else (32, 64, (1, 4, 16, 256))
    cube = (side, side, side)
    base = Case(cube, batch, default_block(cube), outer=4)
    grids = [(side, side, side // 4), (side // 2,) * 3, (side * 2,) * 3]
    cases = [
        base,
        *(replace(base, grid=grid, block=default_block(grid)) for grid in grids),
        *(replace(base, batch=size) for size in batches),
        replace(base, inner=8),
        replace(base, normalize=True),
        replace(base, gated=True),
    ]
    return [replace(case, training=training) for case in cases for training in (False, True)]
