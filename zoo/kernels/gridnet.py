"""The gridnet step as registered torch ops: checked arguments, compiled bodies, autograd, fake tensors.

The specification is ``gridnet_reference.py``; ``ZOO_KERNELS=reference`` runs it instead of the compiled kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import backend
from zoo.kernels import gridnet_reference as reference

_ACTIVATION_CODES = {"silu": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
_CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}


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
    """One plain gridnet step: every block does ``inner_steps`` updates on a shell that stays as it was.

    ``x <- x + residual_scale * act(bias + sum_i weight_i * in_i)`` over the 27 neighbours, offsets (dz, dy, dx) in
    {-1, 0, 1}^3 with dz slowest. With ``normalize`` a block and its shell are standardised before each update.

    Args:
        weight: ``[27, M, N, K]``; bias and residual_scale: ``[M, N, K]``; x: ``[B, M, N, K]``. One dtype (float32 or
            float64) and one device.
        block: side of the cubic blocks; divides M, N and K.
        eps: added to the standard deviation when ``normalize`` is set.
        activation: silu, relu, leaky_relu (slope 0.01) or tanh.

    Returns:
        ``[B, M, N, K]``.

    Raises:
        ValueError: names the argument that has the wrong shape, device or value.
        TypeError: names the argument that has the wrong dtype.
    """
    grid = _check_grid(x, block, inner_steps, activation)
    _check_tensor("weight", weight, (27, *grid), x)
    _check_tensor("bias", bias, grid, x)
    _check_tensor("residual_scale", residual_scale, grid, x)
    if not eps > 0:
        raise ValueError(f"eps must be greater than 0, found {eps}")
    tensors = (weight.contiguous(), bias.contiguous(), residual_scale.contiguous(), x.contiguous())
    options = (inner_steps, block, eps, normalize, activation)
    if backend.mode() == "reference":
        return reference.gridnet_step(*tensors, *options)
    return _step_op(*tensors, *options)


def gated_gridnet_step(
    weight: Tensor, bias: Tensor, x: Tensor, inner_steps: int = 1, block: int = 8, activation: str = "silu"
) -> Tensor:
    """One gated gridnet step: ``x <- g * x + (1 - g) * act(value)`` with ``g = sigmoid(gate)``.

    Args:
        weight: ``[27, 2, M, N, K]``; bias: ``[2, M, N, K]`` (index 0 the value, 1 the gate); x: ``[B, M, N, K]``.
        inner_steps, block, activation: as in ``gridnet_step``, which also lists what is raised.

    Returns:
        ``[B, M, N, K]``.
    """
    grid = _check_grid(x, block, inner_steps, activation)
    _check_tensor("weight", weight, (27, 2, *grid), x)
    _check_tensor("bias", bias, (2, *grid), x)
    tensors = (weight.contiguous(), bias.contiguous(), x.contiguous())
    if backend.mode() == "reference":
        return reference.gated_gridnet_step(*tensors, inner_steps, block, activation)
    return _gated_step_op(*tensors, inner_steps, block, activation)


def _check_grid(x: Tensor, block: int, inner_steps: int, activation: str) -> tuple[int, int, int]:
    if x.ndim != 4:
        raise ValueError(f"x must be [B, M, N, K], found shape {list(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, found {x.dtype}")
    if x.device.type == "cpu" and x.dtype not in _CPU_DTYPES and backend.mode() == "compiled":
        raise TypeError(f"x must be float32 or float64 on the CPU, found {x.dtype}")
    grid = (x.shape[1], x.shape[2], x.shape[3])
    if block < 1 or any(axis % block for axis in grid) or not all(grid):
        raise ValueError(f"block must be a positive divisor of every axis of the grid {list(grid)}, found {block}")
    if inner_steps < 1:
        raise ValueError(f"inner_steps must be at least 1, found {inner_steps}")
    if activation not in _ACTIVATION_CODES:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATION_CODES)}, found {activation!r}")
    return grid


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...], x: Tensor) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have shape {list(shape)} to fit x, found {list(tensor.shape)}")
    if tensor.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{name} must have x's dtype {x.dtype}, found {tensor.dtype}")
    if tensor.device != x.device:
        raise ValueError(f"{name} must be on x's device {x.device}, found {tensor.device}")


def _forward_cpu(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    x: Tensor,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
) -> Tensor:
    out = torch.empty_like(x)
    if x.shape[0] == 0:
        return out
    kernels = backend.compiled()
    config = _config(x, residual_scale is None, inner_steps, block, eps, normalize, activation)
    run = getattr(kernels, f"step_forward_{_CPU_DTYPES[x.dtype]}")
    run(config, *_addresses(weight, bias, residual_scale, x, out), torch.get_num_threads())
    return out


def _backward_cpu(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    x: Tensor,
    grad_out: Tensor,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Gradients of weight, bias, residual_scale (None when gated) and x."""
    if x.shape[0] == 0:
        scale_grad = None if residual_scale is None else torch.zeros_like(residual_scale)
        return torch.zeros_like(weight), torch.zeros_like(bias), scale_grad, torch.empty_like(x)
    grads = [None if t is None else torch.empty_like(t) for t in (weight, bias, residual_scale, x)]
    kernels = backend.compiled()
    config = _config(x, residual_scale is None, inner_steps, block, eps, normalize, activation)
    run = getattr(kernels, f"step_backward_{_CPU_DTYPES[x.dtype]}")
    tensors = (weight, bias, residual_scale, x, grad_out.contiguous(), *grads)
    run(config, *_addresses(*tensors), torch.get_num_threads())
    weight_grad, bias_grad, scale_grad, x_grad = grads
    assert weight_grad is not None
    assert bias_grad is not None
    assert x_grad is not None
    return weight_grad, bias_grad, scale_grad, x_grad


def _config(
    x: Tensor, gated: bool, inner_steps: int, block: int, eps: float, normalize: bool, activation: str
) -> object:
    batch, m, n, k = x.shape
    code = _ACTIVATION_CODES[activation]
    return backend.compiled().StepConfig((m, n, k), batch, block, inner_steps, gated, normalize, eps, code)


def _addresses(*tensors: Tensor | None) -> list[int]:
    return [0 if t is None else t.data_ptr() for t in tensors]


@custom_op("zoo::gridnet_step", mutates_args=(), device_types="cpu")
def _step_op(
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
    return _forward_cpu(weight, bias, residual_scale, x, inner_steps, block, eps, normalize, activation)


@custom_op("zoo::gridnet_step_backward", mutates_args=(), device_types="cpu")
def _step_backward_op(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor,
    x: Tensor,
    grad_out: Tensor,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grads = _backward_cpu(weight, bias, residual_scale, x, grad_out, inner_steps, block, eps, normalize, activation)
    weight_grad, bias_grad, scale_grad, x_grad = grads
    assert scale_grad is not None
    return weight_grad, bias_grad, scale_grad, x_grad


@custom_op("zoo::gated_gridnet_step", mutates_args=(), device_types="cpu")
def _gated_step_op(
    weight: Tensor, bias: Tensor, x: Tensor, inner_steps: int, block: int, activation: str
) -> Tensor:
    return _forward_cpu(weight, bias, None, x, inner_steps, block, 0.0, False, activation)


@custom_op("zoo::gated_gridnet_step_backward", mutates_args=(), device_types="cpu")
def _gated_step_backward_op(
    weight: Tensor, bias: Tensor, x: Tensor, grad_out: Tensor, inner_steps: int, block: int, activation: str
) -> tuple[Tensor, Tensor, Tensor]:
    grads = _backward_cpu(weight, bias, None, x, grad_out, inner_steps, block, 0.0, False, activation)
    return grads[0], grads[1], grads[3]


def _register(forward: torch.library.CustomOpDef, backward: torch.library.CustomOpDef, tensors: int) -> None:
    """Fake and autograd of an op whose first ``tensors`` arguments are differentiable, x the last of them."""

    @forward.register_fake
    def fake_forward(*args: object) -> Tensor:
        x = args[tensors - 1]
        assert isinstance(x, Tensor)
        return torch.empty_like(x)

    @backward.register_fake
    def fake_backward(*args: object) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(t) for t in args[:tensors] if isinstance(t, Tensor))

    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:tensors])  # type: ignore[arg-type]
        ctx.options = inputs[tensors:]  # type: ignore[attr-defined]

    def run_backward(ctx: torch.autograd.function.FunctionCtx, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        options = ctx.options  # type: ignore[attr-defined]
        grads = backward(*ctx.saved_tensors, grad_out, *options)  # type: ignore[attr-defined]
        return (*grads, *(None for _ in options))

    forward.register_autograd(run_backward, setup_context=setup_context)


_register(_step_op, _step_backward_op, tensors=4)
_register(_gated_step_op, _gated_step_backward_op, tensors=3)
for _op in (_step_op, _gated_step_op):
    register_autocast(_op, "cpu", torch.float32)
