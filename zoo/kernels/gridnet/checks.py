"""The checks of gridnet's arguments: those of the public functions, and those of the registered op.

The registered op is public, too (``torch.ops.zoo``), so it checks its arguments itself before a pointer is taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sdk.kernels import ACTIVATIONS
from zoo.kernels import runtime
from zoo.kernels.arguments import require

CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
MOST_STEPS = 2**20
"""The largest number of outer or inner steps, so that no size overflows."""

NAMES = ("weight", "bias", "residual_scale", "norm_weight", "norm_bias", "x")
Tensors = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor]
"""The op's tensors, in the order of ``NAMES``; without ``residual_scale``, steps are gated."""


class Options(NamedTuple):
    """The op's arguments that are not tensors, in the order of its schema."""

    outer_steps: int = 1
    inner_steps: int = 1
    block: int = 8
    eps: float = 0.0
    """Added to a block's standard deviation; read only with ``normalize``."""
    normalize: bool = False
    activation: str = "silu"
    norm_eps: float = 0.0
    outer_residual: bool = False
    recompute: int = 1


def check_options(
    x: Tensor, block: int, inner_steps: int, activation: str, eps: float = 1.0, norm_eps: float = 1.0
) -> tuple[int, int, int]:
    """Return the grid (M, N, K) of ``x``; raises ValueError and TypeError for it or an option."""
    grid = _check_grid(x)
    if runtime.mode() == "compiled":
        _check_device(x, _is_autocast(x))
    _check_numbers(grid, block, inner_steps, activation, least=0)
    for name, value in (("eps", eps), ("norm_eps", norm_eps)):
        _check_eps(name, value)
    return grid


def check_sets(weight: Tensor, outer_steps: int, recompute: int) -> int:
    """Return the number of parameter sets, 1 or ``outer_steps``; raises ValueError for other numbers."""
    _check_steps("outer_steps", outer_steps, least=1)
    if recompute < 1:
        raise ValueError(f"recompute must be at least 1, found {recompute}")
    sets = weight.shape[0] if weight.ndim else 0
    if sets not in (1, outer_steps):
        raise ValueError(f"weight must have 1 or outer_steps = {outer_steps} parameter sets, found {sets}")
    return sets


def check_tensors(x: Tensor, **tensors: tuple[Tensor, tuple[int, ...]]) -> None:
    """Raise ValueError or TypeError unless each tensor has its shape and x's device and dtype."""
    autocast = _is_autocast(x)
    for name, (tensor, shape) in tensors.items():
        _check_tensor(name, tensor, shape, x, autocast)


def check_op(tensors: Tensors, options: Options) -> None:
    """Check the arguments of the registered op; raises ValueError and TypeError."""
    weight, bias, residual_scale, norm_weight, norm_bias, x = tensors
    require(("weight", "bias", "x"), weight, bias, x)
    grid = _check_grid(x)
    _check_device(x, autocast=False)
    _check_numbers(grid, options.block, options.inner_steps, options.activation, least=1)
    sets = check_sets(weight, options.outer_steps, options.recompute)
    _check_combination(residual_scale is None, norm_weight is not None, norm_bias is not None, options)
    channels = (2,) if residual_scale is None else ()
    shapes = ((sets, 27, *channels, *grid), (sets, *channels, *grid), (sets, *grid), grid, grid)
    for name, tensor, shape in zip(NAMES, tensors[:5], shapes, strict=False):
        if tensor is not None:
            _check_tensor(name, tensor, shape, x, autocast=False)


def check_backward(tensors: Tensors, saved: Tensor, grad_out: Tensor, options: Options) -> None:
    """Check the arguments of the registered op's backward; the kernels check the size of ``saved``."""
    require(("saved", "grad_out"), saved, grad_out)
    check_op(tensors, options)
    x = tensors[-1]
    _check_tensor("grad_out", grad_out, x.shape, x, autocast=False)
    if saved.ndim != 1 or saved.dtype != saved_dtype(x) or saved.device != x.device:
        raise ValueError(
            f"saved must be the flat {saved_dtype(x)} buffer on {x.device} that the forward pass returned, found "
            f"{saved.dtype} {list(saved.shape)} on {saved.device}"
        )
    sizes_known = isinstance(saved.shape[0], int) and isinstance(x.shape[0], int)  # unlike in torch.export
    if sizes_known and x.shape[0] and (tensors[3] is not None) != (saved.numel() > 0):
        raise ValueError(
            "saved must be what the forward pass returned with save=True: empty without LayerNorm, not empty with it; "
            f"found {saved.numel()} elements"
        )


def saved_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of the buffer of saved activations: bytes on CUDA, x's dtype elsewhere."""
    return torch.uint8 if x.device.type == "cuda" else x.dtype


def _is_autocast(x: Tensor) -> bool:
    kind = x.device.type
    return kind != "meta" and torch.is_autocast_enabled(kind)  # meta has no autocast


def _check_grid(x: Tensor) -> tuple[int, int, int]:
    if x.ndim != 4:
        raise ValueError(f"x must be [B, M, N, K], found shape {list(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, found {x.dtype}")
    _, m, n, k = x.shape
    return m, n, k


def _check_numbers(grid: tuple[int, int, int], block: int, inner_steps: int, activation: str, least: int) -> None:
    if block < 1 or any(axis % block or axis < 1 for axis in grid):
        raise ValueError(f"block must be a positive divisor of every axis of the grid {list(grid)}, found {block}")
    _check_steps("inner_steps", inner_steps, least)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, found {activation!r}")


def _check_steps(name: str, steps: int, least: int) -> None:
    if steps < least:
        raise ValueError(f"{name} must be at least {least}, found {steps}")
    if steps > MOST_STEPS:
        raise ValueError(f"{name} must be at most {MOST_STEPS}, found {steps}")


def _check_eps(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be greater than 0 and finite, found {value}")


def _check_combination(gated: bool, norm_weight: bool, norm_bias: bool, options: Options) -> None:
    if norm_weight != norm_bias:
        raise ValueError("norm_weight and norm_bias must be given together, found one of them")
    if not norm_weight and (options.outer_steps > 1 or options.outer_residual):
        raise ValueError(
            "norm_weight and norm_bias must be given for several outer steps or outer_residual, found None"
        )
    if gated and options.normalize:
        raise ValueError("normalize needs residual_scale: gated steps are not standardised")
    if options.normalize:
        _check_eps("eps", options.eps)
    if norm_weight:
        _check_eps("norm_eps", options.norm_eps)


def _check_device(x: Tensor, autocast: bool) -> None:
    kind = x.device.type
    if kind == "cpu":
        if x.dtype not in CPU_DTYPES and not autocast:
            raise TypeError(f"x must be float32 or float64 on the CPU, found {x.dtype}")
        return
    if kind == "cuda" and not runtime.compiled().cuda_built:
        raise ValueError(
            f"x is on {x.device}, but this cellzoo was built without CUDA kernels; reinstall it with nvcc on the PATH "
            "and ZOO_CUDA=ON, move the model to the CPU, or set ZOO_KERNELS=reference"
        )
    if kind not in ("cuda", "meta"):
        raise ValueError(
            f"the gridnet kernels run on cpu and cuda, x is on {x.device}; ZOO_KERNELS=reference runs there"
        )
    if x.dtype not in CUDA_DTYPES:
        raise TypeError(f"x must be one of {', '.join(str(dtype) for dtype in CUDA_DTYPES)}, found {x.dtype}")


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], x: Tensor, autocast: bool) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} must have shape {list(shape)} to fit x, found {list(tensor.shape)}")
    if tensor.dtype != x.dtype and not autocast:
        raise TypeError(f"{name} must have x's dtype {x.dtype}, found {tensor.dtype}")
    if tensor.device != x.device:
        raise ValueError(f"{name} must be on x's device {x.device}, found {tensor.device}")
