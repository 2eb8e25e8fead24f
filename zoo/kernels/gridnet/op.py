"""The registered torch op behind every gridnet kernel, ``zoo::gridnet_evolve``: compiled bodies, fake, autograd.

One op serves the step and the evolution, plain (with ``residual_scale``) and gated (without): a step is an evolution
with one outer step and no LayerNorm. The package's public functions have checked the arguments.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime

ACTIVATION_CODES = {"silu": 0, "relu": 1, "leaky_relu": 2, "tanh": 3}
CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}


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


def run_op(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    options: Options,
) -> Tensor:
    """Call the op. It saves activations for backward only if some input requires a gradient."""
    given = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    tensors = [None if t is None else t.contiguous() for t in given]
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    out: Tensor = _evolve(*tensors, *options, save)[0]
    return out


def _kernel_config(
    residual_scale: Tensor | None, norm_weight: Tensor | None, x: Tensor, sets: int, options: Options
) -> Any:
    batch, m, n, k = (int(size) for size in x.shape)
    return runtime.compiled().EvolveConfig(
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


def _new_saved(config: Any, x: Tensor, needed: bool) -> Tensor:
    """Allocate the buffer of activations that forward saves for backward; empty if ``needed`` is false."""
    kernels, on_cuda = runtime.compiled(), x.device.type == "cuda"
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
    save: bool,
) -> tuple[Tensor, Tensor]:
    """Return the evolved grids ``[B, M, N, K]`` and the saved activations: flat, empty without ``save``."""
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
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    out = torch.empty_like(x)
    saved = _new_saved(config, x, save and norm_weight is not None)
    if x.shape[0] > 0:
        tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
        forward = getattr(runtime.compiled(), f"forward_{CPU_DTYPES[x.dtype]}")
        forward(config, [_address(t) for t in tensors], _address(out), _address(saved), torch.get_num_threads())
    return out, saved


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
    options, save = Options(*rest[:-1]), rest[-1]
    if not save or norm_weight is None:
        return torch.empty_like(x), _new_saved(None, x, False)
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    return torch.empty_like(x), _new_saved(config, x, True)


@custom_op("zoo::gridnet_evolve_backward", mutates_args=(), device_types="cpu")
def _evolve_backward(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    saved: Tensor,
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
    """Return the gradients of the inputs that are not None, in their order."""
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
    tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    if x.shape[0] == 0:
        return [torch.zeros_like(t) for t in tensors if t is not None]
    grads = [None if t is None else torch.empty_like(t) for t in tensors]
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], options)
    backward = getattr(runtime.compiled(), f"backward_{CPU_DTYPES[x.dtype]}")
    grad_out = grad_out.contiguous()
    inputs, outputs = [_address(t) for t in tensors], [_address(g) for g in grads]
    backward(config, inputs, _address(saved), _address(grad_out), outputs, torch.get_num_threads())
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
    out, saved = torch.empty_like(x), _new_saved(config, x, training)
    if x.shape[0] > 0:
        kernels, dtype = runtime.compiled(), CUDA_DTYPES[x.dtype]
        tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
        inputs = [_address(t) for t in tensors]
        with torch.cuda.device(x.device):
            size = kernels.cuda_forward_workspace_bytes(config, dtype, training)
            workspace = x.new_empty(size, dtype=torch.uint8)
            stream = torch.cuda.current_stream().cuda_stream
            kernels.cuda_forward(config, dtype, inputs, _address(out), _address(saved), _address(workspace), stream)
    return out, saved


@_evolve_backward.register_kernel("cuda")
def _(
    weight: Tensor,
    bias: Tensor,
    residual_scale: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    x: Tensor,
    saved: Tensor,
    grad_out: Tensor,
    *rest: Any,
) -> list[Tensor]:
    tensors = (weight, bias, residual_scale, norm_weight, norm_bias, x)
    if x.shape[0] == 0:
        return [torch.zeros_like(t) for t in tensors if t is not None]
    grads = [None if t is None else torch.empty_like(t) for t in tensors]
    config = _kernel_config(residual_scale, norm_weight, x, weight.shape[0], Options(*rest))
    kernels, dtype = runtime.compiled(), CUDA_DTYPES[x.dtype]
    grad_out = grad_out.contiguous()
    inputs, outputs = [_address(t) for t in tensors], [_address(g) for g in grads]
    with torch.cuda.device(x.device):
        workspace = x.new_empty(kernels.cuda_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
        stream = torch.cuda.current_stream().cuda_stream
        kernels.cuda_backward(
            config, dtype, inputs, _address(saved), _address(grad_out), outputs, _address(workspace), stream
        )
    return [g for g in grads if g is not None]


@_evolve_backward.register_fake
def _(*args: Any) -> list[Tensor]:
    return [torch.empty_like(t) for t in args[:6] if t is not None]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.options = inputs[6:-1]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or autograd makes zeros of the saved activations' size


def _backward(ctx: Any, grad_out: Tensor | None, _grad_saved: None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return (None,) * (6 + len(ctx.options) + 1)
    tensors, saved = ctx.saved_tensors[:6], ctx.saved_tensors[6]
    given = iter(_evolve_backward(*tensors, saved, grad_out, *ctx.options))
    grads = [None if t is None else next(given) for t in tensors]
    return (*grads, *(None for _ in ctx.options), None)


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)


def saved_bytes_bound(x_shape: tuple[int, int, int, int], options: Options, itemsize: int = 4) -> int:
    """Return an upper bound, in bytes, of the activations that the CPU op saves for backward.

    They are grids with padded rows and statistics, for a batch rounded up to whole tiles. Small batches are not rounded
    up, and also save each step's sums if no step is recomputed.
    """
    batch, m, n, k = x_shape
    steps, lanes = options.outer_steps, math.ceil(batch / 64) * 64
    grids = (steps - 1) // options.recompute + (not options.outer_residual)
    sums = 2 * steps if options.recompute == 1 else 0
    tiled = lanes * (grids * m * n * (k + 2) + 2 * steps)
    small = batch * ((grids + sums) * m * n * k + 2 * (steps + 1))
    return itemsize * (16 + max(tiled, small if batch < 64 else 0))
