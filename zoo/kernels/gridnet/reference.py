"""The gridnet step and evolution in plain torch, the specification that the compiled kernels are tested against.

Slow and readable on purpose; differentiable, on any device, in any floating dtype. Source: the public gridnet
repository (unixpickle/gridnet), as described in docs/families/gridnet.md.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "tanh": torch.tanh,
}


def gridnet_step(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor,
    x: Tensor,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
) -> Tensor:
    """One plain step: ``x <- x + residual_scale * act(bias + sum_i w_i * in_i)``, ``inner_steps`` times per block.

    weight ``[27, M, N, K]``, bias and residual_scale ``[M, N, K]``, x ``[B, M, N, K]`` -> ``[B, M, N, K]``.
    """
    act = ACTIVATIONS[activation]
    tiles = _tiles_with_shell(x, block)
    w, b, scale = (_tiles(t, block) for t in (weight, bias, residual_scale))
    for _ in range(inner_steps):
        inputs = _standardise(tiles, eps) if normalize else tiles
        pre = b + _weighted_sum(w, inputs, block)
        tiles = _replace_core(tiles, _core(tiles) + scale * act(pre))
    return _untile(_core(tiles))


def gated_gridnet_step(
    weight: Tensor, bias: Tensor, x: Tensor, inner_steps: int, block: int, activation: str
) -> Tensor:
    """One gated step: ``x <- g * x + (1 - g) * act(value)`` with ``g = sigmoid(gate)``.

    weight ``[27, 2, M, N, K]``, bias ``[2, M, N, K]`` (index 0 the value, 1 the gate), x ``[B, M, N, K]``.
    """
    act = ACTIVATIONS[activation]
    tiles = _tiles_with_shell(x, block)
    w_value, w_gate = (_tiles(weight[:, i], block) for i in range(2))
    b_value, b_gate = (_tiles(bias[i], block) for i in range(2))
    for _ in range(inner_steps):
        value = act(b_value + _weighted_sum(w_value, tiles, block))
        gate = torch.sigmoid(b_gate + _weighted_sum(w_gate, tiles, block))
        tiles = _replace_core(tiles, gate * _core(tiles) + (1 - gate) * value)
    return _untile(_core(tiles))


def gridnet_evolve(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    x: Tensor,
    outer_steps: int,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
    norm_eps: float,
    outer_residual: bool,
) -> Tensor:
    """All outer steps of the plain network: ``h <- norm(step(h))``, LayerNorm over the whole grid.

    With outer_residual: ``h <- h + (step(norm(h)) - norm(h))``. The step parameters have a leading axis S, 1
    if all outer steps share them, else outer_steps: weight ``[S, 27, M, N, K]``, bias and residual_scale
    ``[S, M, N, K]``; norm_weight and norm_bias ``[M, N, K]``; x ``[B, M, N, K]`` -> ``[B, M, N, K]``.
    """

    def step(h: Tensor, t: int) -> Tensor:
        s = t if len(weight) > 1 else 0
        return gridnet_step(weight[s], bias[s], residual_scale[s], h, inner_steps, block, eps, normalize, activation)

    return _evolve(step, norm_weight, norm_bias, x, outer_steps, norm_eps, outer_residual)


def gated_gridnet_evolve(
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    x: Tensor,
    outer_steps: int,
    inner_steps: int,
    block: int,
    activation: str,
    norm_eps: float,
    outer_residual: bool,
) -> Tensor:
    """All outer steps of the gated network; see ``gridnet_evolve``.

    weight ``[S, 27, 2, M, N, K]`` and bias ``[S, 2, M, N, K]`` with S = 1 (shared) or outer_steps; norm_weight
    and norm_bias ``[M, N, K]``; x ``[B, M, N, K]`` -> ``[B, M, N, K]``.
    """

    def step(h: Tensor, t: int) -> Tensor:
        s = t if len(weight) > 1 else 0
        return gated_gridnet_step(weight[s], bias[s], h, inner_steps, block, activation)

    return _evolve(step, norm_weight, norm_bias, x, outer_steps, norm_eps, outer_residual)


def _evolve(
    step: Callable[[Tensor, int], Tensor],
    norm_weight: Tensor,
    norm_bias: Tensor,
    x: Tensor,
    outer_steps: int,
    norm_eps: float,
    outer_residual: bool,
) -> Tensor:
    def norm(h: Tensor) -> Tensor:
        return F.layer_norm(h, list(norm_weight.shape), norm_weight, norm_bias, norm_eps)

    h = x
    for t in range(outer_steps):
        if outer_residual:
            normed = norm(h)
            h = h + (step(normed, t) - normed)
        else:
            h = norm(step(h, t))
    return h


def _tiles(grid: Tensor, block: int) -> Tensor:
    """``[..., M, N, K]`` -> ``[..., M/b, N/b, K/b, b, b, b]``."""
    return grid.unfold(-3, block, block).unfold(-3, block, block).unfold(-3, block, block)


def _tiles_with_shell(x: Tensor, block: int) -> Tensor:
    """Like ``_tiles``, with a one-cell shell of neighbours around each tile (zero outside the grid)."""
    size = block + 2
    padded = F.pad(x, (1, 1, 1, 1, 1, 1))
    return padded.unfold(-3, size, block).unfold(-3, size, block).unfold(-3, size, block)


def _untile(tiles: Tensor) -> Tensor:
    batch, m, n, k, b = *tiles.shape[:4], tiles.shape[-1]
    return tiles.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, m * b, n * b, k * b)


def _core(tiles: Tensor) -> Tensor:
    return tiles[..., 1:-1, 1:-1, 1:-1]


def _replace_core(tiles: Tensor, core: Tensor) -> Tensor:
    shell = tiles.clone()
    shell[..., 1:-1, 1:-1, 1:-1] = core
    return shell


def _standardise(tiles: Tensor, eps: float) -> Tensor:
    dims = (-3, -2, -1)
    mean = tiles.mean(dims, keepdim=True)
    std = tiles.std(dims, correction=0, keepdim=True)
    return (tiles - mean) / (std + eps)


def _weighted_sum(weight: Tensor, tiles: Tensor, block: int) -> Tensor:
    """Sum over the 27 neighbours; index ``(dz+1)*9 + (dy+1)*3 + (dx+1)``."""
    total = torch.zeros_like(_core(tiles))
    for i in range(27):
        dz, dy, dx = i // 9, i // 3 % 3, i % 3
        total = total + weight[i] * tiles[..., dz : dz + block, dy : dy + block, dx : dx + block]
    return total
