"""gridnet in plain torch: 27 multiply-adds of the whole grid with shifted copies per step.

This is the baseline of the benchmarks, eager or under torch.compile. :class:`Shifts` has the four functions of
``zoo.kernels.gridnet`` with the same arguments, except ``recompute``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.kernels.gridnet.reference import ACTIVATIONS

_OFFSETS = [(i // 9, i // 3 % 3, i % 3) for i in range(27)]


class Shifts:
    """The four functions as shifts; ``compiled`` runs one outer step with its LayerNorm under torch.compile."""

    def __init__(self, compiled: bool = False) -> None:
        self._outer: Callable[..., Tensor] = (
            torch.compile(_outer_step, dynamic=False, fullgraph=True) if compiled else _outer_step
        )
        self._masks: dict[tuple[Any, ...], Tensor] = {}

    def gridnet_step(
        self, weight: Tensor, bias: Tensor, residual_scale: Tensor, x: Tensor,
        inner_steps: int, block: int, eps: float, normalize: bool, activation: str,
    ) -> Tensor:  # fmt: skip
        """Compute :func:`zoo.kernels.gridnet.gridnet_step`."""
        mask = self._mask(x, block, inner_steps > 1 or normalize)
        return self._outer([weight], [bias], residual_scale, None, None, x, mask, inner_steps, block,
                           eps if normalize else None, activation, 0.0, False)  # fmt: skip

    def gated_gridnet_step(
        self, weight: Tensor, bias: Tensor, x: Tensor, inner_steps: int, block: int, activation: str
    ) -> Tensor:
        """Compute :func:`zoo.kernels.gridnet.gated_gridnet_step`."""
        mask = self._mask(x, block, inner_steps > 1)
        return self._outer(list(weight.unbind(1)), list(bias.unbind(0)), None, None, None, x, mask, inner_steps,
                           block, None, activation, 0.0, False)  # fmt: skip

    def gridnet_evolve(
        self, weight: Tensor, bias: Tensor, residual_scale: Tensor, norm_weight: Tensor, norm_bias: Tensor, x: Tensor,
        outer_steps: int, inner_steps: int, block: int, eps: float, normalize: bool, activation: str,
        norm_eps: float, outer_residual: bool,
    ) -> Tensor:  # fmt: skip
        """Compute :func:`zoo.kernels.gridnet.gridnet_evolve`."""
        mask = self._mask(x, block, inner_steps > 1 or normalize)
        for t in range(outer_steps):
            s = t if len(weight) > 1 else 0
            x = self._outer([weight[s]], [bias[s]], residual_scale[s], norm_weight, norm_bias, x, mask, inner_steps,
                            block, eps if normalize else None, activation, norm_eps, outer_residual)  # fmt: skip
        return x

    def gated_gridnet_evolve(
        self, weight: Tensor, bias: Tensor, norm_weight: Tensor, norm_bias: Tensor, x: Tensor,
        outer_steps: int, inner_steps: int, block: int, activation: str, norm_eps: float, outer_residual: bool,
    ) -> Tensor:  # fmt: skip
        """Compute :func:`zoo.kernels.gridnet.gated_gridnet_evolve`."""
        mask = self._mask(x, block, inner_steps > 1)
        for t in range(outer_steps):
            s = t if len(weight) > 1 else 0
            x = self._outer(list(weight[s].unbind(1)), list(bias[s].unbind(0)), None, norm_weight, norm_bias, x, mask,
                            inner_steps, block, None, activation, norm_eps, outer_residual)  # fmt: skip
        return x

    def _mask(self, x: Tensor, block: int, blocks_matter: bool) -> Tensor | None:
        """Return ``[27, M, N, K]``, 1 for a neighbour in the cell's own block; None if blocks make no difference."""
        if not blocks_matter:
            return None
        key = ((x.shape[1], x.shape[2], x.shape[3]), block, x.dtype, x.device)
        if key not in self._masks:
            self._masks[key] = _same_block(key[0], block).to(x)
        return self._masks[key]


def _outer_step(
    weights: list[Tensor],
    biases: list[Tensor],
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    mask: Tensor | None,
    inner_steps: int,
    block: int,
    eps: float | None,
    activation: str,
    norm_eps: float,
    outer_residual: bool,
) -> Tensor:
    """Run one outer step. ``weights`` and ``biases`` hold one entry, or value and gate; ``eps`` None skips the norm."""

    def norm(h: Tensor) -> Tensor:
        return h if norm_weight is None else F.layer_norm(h, list(norm_weight.shape), norm_weight, norm_bias, norm_eps)

    start = norm(x) if outer_residual else x
    h = start
    if mask is None:
        h = _update(
            h, [_weighted_sum(w, h) + b for w, b in zip(weights, biases, strict=True)], residual_scale, activation
        )
    else:
        inside = [w * mask for w in weights]
        # Neighbours in other blocks have their values from the start of the outer step.
        stale = [_weighted_sum(w - own, start) for w, own in zip(weights, inside, strict=True)]
        for _ in range(inner_steps):
            sums = [old + _weighted_sum(own, h) for old, own in zip(stale, inside, strict=True)]
            if eps is not None:
                mean, std = _block_statistics(start, h, block)
                sums = [(s - mean * w.sum(0)) / (std + eps) for s, w in zip(sums, weights, strict=True)]
            h = _update(h, [s + b for s, b in zip(sums, biases, strict=True)], residual_scale, activation)
    return x + (h - start) if outer_residual else norm(h)


def _weighted_sum(weight: Tensor, x: Tensor) -> Tensor:
    """Sum weight ``[27, M, N, K]`` times the neighbours in x ``[B, M, N, K]``, with zeros outside the grid."""
    m, n, k = x.shape[1:]
    padded = F.pad(x, (1, 1, 1, 1, 1, 1))
    total = weight[0] * padded[:, :m, :n, :k]
    for w, (dz, dy, dx) in zip(weight[1:], _OFFSETS[1:], strict=True):
        total = torch.addcmul(total, w, padded[:, dz : dz + m, dy : dy + n, dx : dx + k])
    return total


def _update(h: Tensor, pre: list[Tensor], residual_scale: Tensor | None, activation: str) -> Tensor:
    value = ACTIVATIONS[activation](pre[0])
    if residual_scale is not None:
        return torch.addcmul(h, residual_scale, value)
    gate = torch.sigmoid(pre[1])
    return gate * h + (1 - gate) * value


def _block_statistics(start: Tensor, h: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Return mean and population std of each block with its shell, ``[B, M, N, K]``; the shell has its start values."""
    moments = []
    for before, now in ((start, h), (start * start, h * h)):
        padded = F.pad(before, (1, 1, 1, 1, 1, 1))
        window = (
            _block_sums(padded, block + 2, block) - _block_sums(before, block, block) + _block_sums(now, block, block)
        )
        mean = window / (block + 2) ** 3
        for axis in (1, 2, 3):
            mean = mean.repeat_interleave(block, axis)
        moments.append(mean)
    mean, square = moments
    return mean, (square - mean * mean).clamp_min(0).sqrt()


def _block_sums(x: Tensor, size: int, stride: int) -> Tensor:
    """Sum windows of ``size`` cells a side, ``stride`` cells apart."""
    return F.avg_pool3d(x[:, None], size, stride)[:, 0] * size**3


def _same_block(grid: tuple[int, int, int], block: int) -> Tensor:
    """Return bool ``[27, M, N, K]``: True for a neighbour in the cell's own block."""
    rows = []
    for axis in grid:
        place = torch.arange(axis)
        rows.append([(place + d) // block == place // block for d in (-1, 0, 1)])
    z, y, x = rows
    return torch.stack([z[a][:, None, None] & y[b][:, None] & x[c] for a, b, c in _OFFSETS])
