"""gridnet's kernels: a single step and a whole evolution, plain and gated.

Each function checks its arguments, then runs the compiled op (``op.py``), or the plain-torch specification
(``reference.py``) if ``ZOO_KERNELS=reference``. All are differentiable in every tensor argument.

Shared arguments, for a grid of M x N x K cells and a batch of B samples:

- ``weight``: 27 weights per cell, one per neighbour offset (dz, dy, dx) in {-1, 0, 1}^3, dz slowest.
- ``x``: ``[B, M, N, K]``. Every tensor has its dtype (float32 or float64 on the CPU) and its device.
- ``inner_steps``: updates of each block per step; the shell of neighbours around it keeps its values throughout. With
  0, a step is the identity, an outer step its LayerNorm alone.
- ``block``: side of the cubic blocks; divides M, N and K.
- ``activation``: silu, relu, leaky_relu (slope 0.01) or tanh.

A wrong shape, device or value raises ValueError, a wrong dtype TypeError; both name the argument.
"""

from __future__ import annotations

from torch import Tensor

from zoo.kernels import runtime
from zoo.kernels.gridnet import reference
from zoo.kernels.gridnet.checks import Options, check_options, check_sets, check_tensors
from zoo.kernels.gridnet.op import run_op


def gridnet_step(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor,
    x: Tensor,
    inner_steps: int = 1,
    block: int = 8,
    eps: float = 1e-5,
    normalize: bool = False,
    activation: str = "silu",
) -> Tensor:
    """One plain step: ``x <- x + residual_scale * act(bias + sum_i weight_i * in_i)``.

    weight ``[27, M, N, K]``, bias and residual_scale ``[M, N, K]``, x ``[B, M, N, K]`` -> ``[B, M, N, K]``. With
    ``normalize`` a block and its shell are standardised, ``(v - mean) / (std + eps)``, before each update.
    """
    grid = check_options(x, block, inner_steps, activation, eps)
    check_tensors(x, weight=(weight, (27, *grid)), bias=(bias, grid), residual_scale=(residual_scale, grid))
    if runtime.mode() == "reference" or not inner_steps:
        return reference.gridnet_step(
            weight,
            bias,
            residual_scale,
            x,
            inner_steps=inner_steps,
            block=block,
            eps=eps,
            normalize=normalize,
            activation=activation,
        )
    options = Options(inner_steps=inner_steps, block=block, eps=eps, normalize=normalize, activation=activation)
    return run_op(weight[None], bias[None], residual_scale[None], None, None, x, options)


def gated_gridnet_step(
    weight: Tensor, bias: Tensor, x: Tensor, inner_steps: int = 1, block: int = 8, activation: str = "silu"
) -> Tensor:
    """One gated step: ``x <- g * x + (1 - g) * act(value)`` with ``g = sigmoid(gate)``.

    weight ``[27, 2, M, N, K]``, bias ``[2, M, N, K]`` (index 0 the value, 1 the gate), x ``[B, M, N, K]`` ->
    ``[B, M, N, K]``.
    """
    grid = check_options(x, block, inner_steps, activation)
    check_tensors(x, weight=(weight, (27, 2, *grid)), bias=(bias, (2, *grid)))
    if runtime.mode() == "reference" or not inner_steps:
        return reference.gated_gridnet_step(
            weight, bias, x, inner_steps=inner_steps, block=block, activation=activation
        )
    options = Options(inner_steps=inner_steps, block=block, activation=activation)
    return run_op(weight[None], bias[None], None, None, None, x, options)


def gridnet_evolve(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    x: Tensor,
    outer_steps: int,
    inner_steps: int = 1,
    block: int = 8,
    eps: float = 1e-5,
    normalize: bool = False,
    activation: str = "silu",
    norm_eps: float = 1e-5,
    outer_residual: bool = False,
    recompute: int = 1,
) -> Tensor:
    """``outer_steps`` plain steps with a LayerNorm over the whole grid: ``h <- norm(step(h))``.

    With ``outer_residual``: ``h <- h + (step(norm(h)) - norm(h))``. The step parameters have a leading axis S, which is
    1 if all outer steps share them and ``outer_steps`` if each has its own: weight ``[S, 27, M, N, K]``, bias and
    residual_scale ``[S, M, N, K]``; norm_weight and norm_bias ``[M, N, K]``; x ``[B, M, N, K]`` -> ``[B, M, N, K]``.

    For backward, forward saves the grid before every ``recompute``-th outer step; backward recomputes those between.
    Memory falls to about ``outer_steps / recompute`` grids per sample; time grows by at most one forward pass.
    """
    grid = check_options(x, block, inner_steps, activation, eps, norm_eps)
    sets = check_sets(weight, outer_steps, recompute)
    check_tensors(
        x,
        weight=(weight, (sets, 27, *grid)),
        bias=(bias, (sets, *grid)),
        residual_scale=(residual_scale, (sets, *grid)),
        norm_weight=(norm_weight, grid),
        norm_bias=(norm_bias, grid),
    )
    if runtime.mode() == "reference":
        return reference.gridnet_evolve(
            weight,
            bias,
            residual_scale,
            norm_weight,
            norm_bias,
            x,
            outer_steps=outer_steps,
            inner_steps=inner_steps,
            block=block,
            eps=eps,
            normalize=normalize,
            activation=activation,
            norm_eps=norm_eps,
            outer_residual=outer_residual,
        )
    options = Options(
        outer_steps=outer_steps,
        inner_steps=inner_steps,
        block=block,
        eps=eps,
        normalize=normalize,
        activation=activation,
        norm_eps=norm_eps,
        outer_residual=outer_residual,
        recompute=recompute,
    )
    if not inner_steps:
        return _norms_alone(norm_weight, norm_bias, x, options)
    return run_op(weight, bias, residual_scale, norm_weight, norm_bias, x, options)


def gated_gridnet_evolve(
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    x: Tensor,
    outer_steps: int,
    inner_steps: int = 1,
    block: int = 8,
    activation: str = "silu",
    norm_eps: float = 1e-5,
    outer_residual: bool = False,
    recompute: int = 1,
) -> Tensor:
    """``outer_steps`` gated steps with LayerNorm, as ``gridnet_evolve``.

    weight ``[S, 27, 2, M, N, K]``, bias ``[S, 2, M, N, K]``, S = 1 or outer_steps; norm_weight and norm_bias
    ``[M, N, K]``; x ``[B, M, N, K]`` -> ``[B, M, N, K]``.
    """
    grid = check_options(x, block, inner_steps, activation, norm_eps=norm_eps)
    sets = check_sets(weight, outer_steps, recompute)
    check_tensors(
        x,
        weight=(weight, (sets, 27, 2, *grid)),
        bias=(bias, (sets, 2, *grid)),
        norm_weight=(norm_weight, grid),
        norm_bias=(norm_bias, grid),
    )
    if runtime.mode() == "reference":
        return reference.gated_gridnet_evolve(
            weight,
            bias,
            norm_weight,
            norm_bias,
            x,
            outer_steps=outer_steps,
            inner_steps=inner_steps,
            block=block,
            activation=activation,
            norm_eps=norm_eps,
            outer_residual=outer_residual,
        )
    options = Options(
        outer_steps=outer_steps,
        inner_steps=inner_steps,
        block=block,
        activation=activation,
        norm_eps=norm_eps,
        outer_residual=outer_residual,
        recompute=recompute,
    )
    if not inner_steps:
        return _norms_alone(norm_weight, norm_bias, x, options)
    return run_op(weight, bias, None, norm_weight, norm_bias, x, options)


def _norms_alone(norm_weight: Tensor, norm_bias: Tensor, x: Tensor, options: Options) -> Tensor:
    """Outer steps without inner steps, computed as one plain update whose weights are 0."""
    zeros = x.new_zeros(28, *x.shape[1:])
    updates = options._replace(inner_steps=1, normalize=False)
    return run_op(zeros[None, :27], zeros[27:], zeros[27:], norm_weight, norm_bias, x, updates)
