"""The registered torch op behind every gridnet kernel, ``zoo::gridnet_evolve``: compiled bodies, fake, autograd.

One op serves the step and the evolution, plain (with ``residual_scale``) and gated (without): a step is the
evolution with one outer step and no LayerNorm. Arguments come checked from ``gridnet.py``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import backend

ACTIVATION_CODES = {"silu": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}


class Options(NamedTuple):
    """The op's arguments that are not tensors, in its order."""

    outer_steps: int
    inner_steps: int
    block: int
    eps: float
    normalize: bool
    activation: str
    norm_eps: float
    outer_residual: bool
    recompute: int


def run_op(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    options: Options,
) -> Tensor:
    """Call the op; what backward needs is kept only where a gradient will be asked for."""
    given = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    tensors = [None if t is None else t.contiguous() for t in given]
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    out: Tensor = _evolve(*tensors, *options, keep)[0]
    return out


def _kernel_config(
    residual_scale: Tensor | None, norm_weight: Tensor | None, x: Tensor, sets: int, options: Options
) -> Any:
    batch, m, n, k = (int(size) for size in x.shape)
    return backend.compiled().EvolveConfig(
        grid=(m, n, k),
        batch=batch,
        block=options.block,
        inner_steps=options.inner_steps,
        gated=residual_scale is None,
        normalize=options.normalize,
        eps=options.eps,
        activation=ACTIVATION_CODES[options.activation],
        outer_steps=options.outer_steps,
        separate=sets > 1,
        norm=norm_weight is not None,
        outer_residual=options.outer_residual,
        norm_eps=options.norm_eps,
        recompute=min(options.recompute, options.outer_steps),
    )


def _new_kept(config: Any, x: Tensor, needed: bool) -> Tensor:
    """Memory for what the forward pass keeps for the backward pass, empty where nothing is needed."""
    kernels, on_cuda = backend.compiled(), x.device.type == "cuda"
    if not needed or x.shape[0] == 0:
        size = 0
    elif on_cuda:
        size = kernels.cuda_saved_bytes(config, CUDA_DTYPES[x.dtype])
    else:
        size = getattr(kernels, f"saved_size_{CPU_DTYPES[x.dtype]}")(config, torch.get_num_threads())
    return x.new_empty(size, dtype=torch.uint8 if on_cuda else x.dtype)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


@custom_op("zoo::gridnet_evolve", mutates_args=(), device_types="cpu")
def _evolve(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    outer_steps: int,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
    norm_eps: float,
    outer_residual: bool,
    recompute: int,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The evolved grids ``[B, M, N, K]`` and, with ``keep``, what backward needs (flat, else empty)."""
    options = Options(outer_steps, inner_steps, block, eps, normalize, activation, norm_eps, outer_residual, recompute)
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    out = torch.empty_like(x)
    kept = _new_kept(config, x, keep and norm_weight is not None)
    if x.shape[0] > 0:
        tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
        forward = getattr(backend.compiled(), f"forward_{CPU_DTYPES[x.dtype]}")
        forward(config, [_address(t) for t in tensors], _address(out), _address(kept), torch.get_num_threads())
    return out, kept


@_evolve.register_fake
def _(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor]:
    options, keep = Options(*rest[:-1]), rest[-1]
    if not keep or norm_weight is None:
        return torch.empty_like(x), _new_kept(None, x, False)
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    return torch.empty_like(x), _new_kept(config, x, True)


@custom_op("zoo::gridnet_evolve_backward", mutates_args=(), device_types="cpu")
def _evolve_backward(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    kept: Tensor,
    grad_out: Tensor,
    outer_steps: int,
    inner_steps: int,
    block: int,
    eps: float,
    normalize: bool,
    activation: str,
    norm_eps: float,
    outer_residual: bool,
    recompute: int,
) -> list[Tensor]:
    """Gradients of the tensors that are there, in their order."""
    options = Options(outer_steps, inner_steps, block, eps, normalize, activation, norm_eps, outer_residual, recompute)
    tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    if x.shape[0] == 0:
        return [torch.zeros_like(t) for t in tensors if t is not None]
    grads = [None if t is None else torch.empty_like(t) for t in tensors]
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    backward = getattr(backend.compiled(), f"backward_{CPU_DTYPES[x.dtype]}")
    grad_out = grad_out.contiguous()
    inputs, outputs = [_address(t) for t in tensors], [_address(g) for g in grads]
    backward(config, inputs, _address(kept), _address(grad_out), outputs, torch.get_num_threads())
    return [g for g in grads if g is not None]


@_evolve.register_kernel("cuda")
def _(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor]:
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], Options(*rest[:-1]))
    training = rest[-1] and norm_weight is not None
    out, kept = torch.empty_like(x), _new_kept(config, x, training)
    if x.shape[0] > 0:
        kernels, dtype = backend.compiled(), CUDA_DTYPES[x.dtype]
        tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
        inputs = [_address(t) for t in tensors]
        with torch.cuda.device(x.device):
            size = kernels.cuda_forward_workspace_bytes(config, dtype, training)
            workspace = x.new_empty(size, dtype=torch.uint8)
            stream = torch.cuda.current_stream().cuda_stream
            kernels.cuda_forward(config, dtype, inputs, _address(out), _address(kept), _address(workspace), stream)
    return out, kept


@_evolve_backward.register_kernel("cuda")
def _(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    kept: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> list[Tensor]:
    tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    if x.shape[0] == 0:
        return [torch.zeros_like(t) for t in tensors if t is not None]
    grads = [None if t is None else torch.empty_like(t) for t in tensors]
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], Options(*rest))
    kernels, dtype = backend.compiled(), CUDA_DTYPES[x.dtype]
    grad_out = grad_out.contiguous()
    inputs, outputs = [_address(t) for t in tensors], [_address(g) for g in grads]
    with torch.cuda.device(x.device):
        workspace = x.new_empty(kernels.cuda_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
        stream = torch.cuda.current_stream().cuda_stream
        kernels.cuda_backward(
            config, dtype, inputs, _address(kept), _address(grad_out), outputs, _address(workspace), stream
        )
    return [g for g in grads if g is not None]


@_evolve_backward.register_fake
def _(*args: Any) -> list[Tensor]:
    return [torch.empty_like(t) for t in args[:6] if t is not None]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.options = inputs[6:-1]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # zeros of the size of what is kept would be made for it


def _backward(ctx: Any, grad_out: Tensor | None, _grad_kept: None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return (None,) * (6 + len(ctx.options) + 1)
    tensors, kept = ctx.saved_tensors[:6], ctx.saved_tensors[6]
    given = iter(_evolve_backward(*tensors, kept, grad_out, *ctx.options))
    grads = [None if t is None else next(given) for t in tensors]
    return (*grads, *(None for _ in ctx.options), None)


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)


def kept_bytes_bound(x_shape: tuple[int, int, int, int], options: Options, itemsize: int = 4) -> int:
    """Upper bound, in bytes, of what the CPU op keeps for backward: grids with padded rows and statistics for a batch
    rounded up to whole tiles. Small batches are not rounded up, and keep each step's sums if no step is recomputed."""
    batch, m, n, k = x_shape
    steps, lanes = options.outer_steps, math.ceil(batch / 64) * 64
    grids = (steps - 1) // options.recompute + (not options.outer_residual)
    sums = 2 * steps if options.recompute == 1 else 0
    tiled = lanes * (grids * m * n * (k + 2) + 2 * steps)
    small = batch * ((grids + sums) * m * n * k + 2 * (steps + 1))
    return itemsize * (16 + max(tiled, small if batch < 64 else 0))
