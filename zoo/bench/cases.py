"""What is measured: one call of a gridnet kernel, its useful work and the memory it cannot do without."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEIGHBOURS = 27
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Case:
    """A single step (``outer`` None) or an evolution with LayerNorm and shared parameters, in float32."""

    grid: tuple[int, int, int]
    batch: int
    block: int
    inner: int = 1
    outer: int | None = None
    gated: bool = False
    normalize: bool = False
    training: bool = False
    """Forward and backward, every gradient included, rather than forward alone."""

    @property
    def name(self) -> str:
        what = "step" if self.outer is None else f"evolution of {self.outer}"
        return f"{what}, {'forward + backward' if self.training else 'forward'}"

    @property
    def setting(self) -> str:
        """The sizes and options, for people."""
        parts = ["x".join(map(str, self.grid)), f"batch {self.batch}"]
        if self.inner > 1:
            parts.append(f"inner {self.inner} block {self.block}")
        parts += ["gated"] * self.gated + [f"normalised blocks of {self.block}"] * self.normalize
        return ", ".join(parts)

    @property
    def cells(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]

    def flops(self) -> int:
        """Useful operations: a multiply and an add per weight, inner and outer step; three times that in training."""
        steps = self.inner * (self.outer or 1)
        weights = NEIGHBOURS * (2 if self.gated else 1)
        return 2 * weights * self.cells * self.batch * steps * (3 if self.training else 1)

    def bytes(self) -> int:
        """The least traffic with main memory: every tensor once, no state between steps but what backward needs.

        Forward reads x and the parameters and writes the result. Training also writes and reads the states between
        outer steps, reads parameters, x and the result's gradient and writes a gradient of each input.
        """
        channels = 2 if self.gated else 1
        parameters = (NEIGHBOURS + 1) * channels + (not self.gated) + 2 * (self.outer is not None)
        kept = (self.outer or 1) - 1
        states, copies = (5 + 2 * kept, 3) if self.training else (2, 1)
        return _FLOAT * self.cells * (states * self.batch + copies * parameters)

    def tensors(self) -> list[Tensor]:
        """Fixed random arguments in the order of the kernels, x last; they want gradients in training."""
        generator = torch.Generator().manual_seed(0)
        sets = () if self.outer is None else (1,)
        channels = (2,) if self.gated else ()
        shapes: list[tuple[int, ...]] = [(*sets, NEIGHBOURS, *channels, *self.grid), (*sets, *channels, *self.grid)]
        if not self.gated:
            shapes.append((*sets, *self.grid))
        if self.outer is not None:
            shapes += [self.grid, self.grid]
        shapes.append((self.batch, *self.grid))
        tensors = [torch.randn(shape, generator=generator) for shape in shapes]
        tensors[0] /= NEIGHBOURS**0.5
        return [tensor.requires_grad_(self.training) for tensor in tensors]


def default_block(grid: tuple[int, int, int]) -> int:
    """The largest block side up to 8 that divides the grid."""
    return next(side for side in range(8, 0, -1) if not any(axis % side for axis in grid))


def standard_cases(grid: tuple[int, int, int], batch: int, outer: int) -> list[Case]:
    """Step and evolution, forward and training."""
    step = Case(grid, batch, default_block(grid))
    cases = [step, replace(step, outer=outer)]
    return [replace(case, training=training) for case in cases for training in (False, True)]


def sweep_cases(quick: bool) -> list[Case]:
    """Evolutions of four steps in other shapes, batches and variants; the rest is held against the first two."""
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
