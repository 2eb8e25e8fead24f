"""The registered torch op behind every gridnet kernel, ``zoo::gridnet_evolve``: compiled bodies, fake, autograd.

One op serves the step and the evolution, plain (with ``residual_scale``) and gated (without): a step is an evolution
with one outer step and no LayerNorm. Every body checks its arguments and takes tensors of any strides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from sdk.kernels import ACTIVATIONS
from zoo.kernels import runtime
from zoo.kernels.arguments import aligned, refuse_tangents
from zoo.kernels.gridnet.checks import (
    CPU_DTYPES,
    CUDA_DTYPES,
    Options,
    Tensors,
    check_backward,
    check_op,
    saved_dtype,
)
from zoo.kernels.vmap import map_by_slices


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
    refuse_tangents("gridnet", *given)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in given)
    out: Tensor = _evolve(*given, *options, save)[0]
    return out


def _kernel_config(tensors: Tensors, options: Options) -> Any:
    weight, _, residual_scale, norm_weight, _, x = tensors
    batch, m, n, k = (int(size) for size in x.shape)
    return runtime.compiled().EvolveConfig(
        grid=(m, n, k),
        batch=batch,
        block=options.block,
        inner_steps=options.inner_steps,
        gated=residual_scale is None,
        normalize=options.normalize,
        eps=options.eps,
        activation=ACTIVATIONS[options.activation],
        outer_steps=options.outer_steps,
        separate=weight.shape[0] > 1,
        norm=norm_weight is not None,
        outer_residual=options.outer_residual,
        norm_eps=options.norm_eps,
        recompute=min(options.recompute, options.outer_steps),
    )


def _saved_size(config: Any, x: Tensor, threads: int) -> int:
    """Return the elements of the buffer of activations that forward saves for backward."""
    kernels = runtime.compiled()
    if x.shape[0] == 0:
        return 0
    if x.device.type == "cuda":
        size: int = kernels.cuda_saved_bytes(config, CUDA_DTYPES[x.dtype])
    else:
        size = getattr(kernels, f"saved_size_{CPU_DTYPES.get(x.dtype, 'float')}")(config, threads)
    return size


def _contiguous(tensors: Tensors) -> tuple[Tensor | None, ...]:
    return tuple(None if t is None else t.contiguous() for t in tensors)


def _addresses(tensors: Iterable[Tensor | None]) -> list[int]:
    return [_address(tensor) for tensor in tensors]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


_TENSORS = (
    "Tensor weight, Tensor bias, Tensor? residual_scale, Tensor? norm_weight, Tensor? norm_bias, Tensor x"  # Tensors
)
_OPTIONS = (
    "SymInt outer_steps, SymInt inner_steps, SymInt block, float eps, bool normalize, str activation, float norm_eps, "
    "bool outer_residual, SymInt recompute"  # Options
)


@custom_op(
    "zoo::gridnet_evolve",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_TENSORS}, {_OPTIONS}, bool save) -> (Tensor, Tensor)",
)
def _evolve(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Return the evolved grids ``[B, M, N, K]`` and the saved activations: flat, empty without ``save``."""
    given, options, x = arguments[:6], Options(*arguments[6:-1]), arguments[5]
    check_op(given, options)
    config, threads = _kernel_config(given, options), torch.get_num_threads()
    size = _saved_size(config, x, threads) if _saves(arguments) else 0
    out, saved = x.new_empty(x.shape), x.new_empty(size)
    if x.shape[0] > 0:
        tensors = _contiguous(given)
        forward = getattr(runtime.compiled(), f"forward_{CPU_DTYPES[x.dtype]}")
        forward(config, _addresses(tensors), _address(out), _address(saved), size, threads)
    return out, saved


@_evolve.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    given, options, x = arguments[:6], Options(*arguments[6:-1]), arguments[5]
    check_op(given, options)
    config, saves = _kernel_config(given, options), _saves(arguments)
    size = _saved_size(config, x, 1) if saves else 0
    out, saved = x.new_empty(x.shape), x.new_empty(size, dtype=torch.uint8)
    if x.shape[0] > 0:
        tensors, kernels, dtype = _contiguous(given), runtime.compiled(), CUDA_DTYPES[x.dtype]
        with torch.cuda.device(x.device):
            workspace = x.new_empty(kernels.cuda_forward_workspace_bytes(config, dtype, saves), dtype=torch.uint8)
            kernels.cuda_forward(
                config, dtype, _addresses(tensors), _address(out), _address(saved), _address(workspace),
                torch.cuda.current_stream().cuda_stream,
            )  # fmt: skip
    return out, saved


@_evolve.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    given, options, x = arguments[:6], Options(*arguments[6:-1]), arguments[5]
    check_op(given, options)
    size: Any = 0
    if _saves(arguments):
        if all(isinstance(axis, int) for axis in x.shape):
            size = _saved_size(_kernel_config(given, options), x, torch.get_num_threads())
        else:  # a batch of unknown size, as in torch.export
            size = torch.library.get_ctx().new_dynamic_size()
    return x.new_empty(x.shape), x.new_empty(size, dtype=saved_dtype(x))


@custom_op(
    "zoo::gridnet_evolve_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_TENSORS}, Tensor saved, Tensor grad_out, {_OPTIONS}) -> ({', '.join(['Tensor'] * 6)})",
)
def _evolve_backward(*arguments: Any) -> tuple[Tensor, ...]:
    """Return the gradients of the six tensors, empty for those that are None."""
    given, saved, grad_out, options = arguments[:6], *arguments[6:8], Options(*arguments[8:])
    check_backward(given, saved, grad_out, options)
    x, grads = given[5], _new_grads(given)
    if x.shape[0] > 0:
        tensors, saved, grad_out = _contiguous(given), aligned(saved), grad_out.contiguous()
        backward = getattr(runtime.compiled(), f"backward_{CPU_DTYPES[x.dtype]}")
        backward(
            _kernel_config(given, options), _addresses(tensors), _address(saved), saved.numel(), _address(grad_out),
            _addresses(grads), torch.get_num_threads(),
        )  # fmt: skip
    return grads


@_evolve_backward.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, ...]:
    given, saved, grad_out, options = arguments[:6], *arguments[6:8], Options(*arguments[8:])
    check_backward(given, saved, grad_out, options)
    x, grads = given[5], _new_grads(given)
    if x.shape[0] > 0:
        config, kernels, dtype = _kernel_config(given, options), runtime.compiled(), CUDA_DTYPES[x.dtype]
        wanted = _saved_size(config, x, 1) if given[3] is not None else 0
        if saved.numel() != wanted:
            raise ValueError(f"saved has {saved.numel()} bytes, the forward pass of this call saves {wanted}")
        tensors, saved, grad_out = _contiguous(given), aligned(saved), grad_out.contiguous()
        with torch.cuda.device(x.device):
            workspace = x.new_empty(kernels.cuda_backward_workspace_bytes(config, dtype), dtype=torch.uint8)
            kernels.cuda_backward(
                config, dtype, _addresses(tensors), _address(saved), _address(grad_out), _addresses(grads),
                _address(workspace), torch.cuda.current_stream().cuda_stream,
            )  # fmt: skip
    return grads


@_evolve_backward.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    check_backward(arguments[:6], arguments[6], arguments[7], Options(*arguments[8:]))
    return _new_grads(arguments[:6])


def _saves(arguments: tuple[Any, ...]) -> bool:
    """True if forward saves activations: a single step without LayerNorm never needs them."""
    norm_weight, save = arguments[3], arguments[-1]
    return save and norm_weight is not None


def _new_grads(tensors: Tensors) -> tuple[Tensor, ...]:
    """Return the gradients' memory: zeros for an empty batch, nothing for a tensor that is None."""
    x = tensors[5]
    make = x.new_zeros if x.shape[0] == 0 else x.new_empty
    return tuple(make(0 if t is None else t.shape) for t in tensors)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.options = inputs[6:-1]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or autograd makes zeros of the saved activations' size


def _backward(ctx: Any, grad_out: Tensor | None, _grad_saved: None) -> tuple[Tensor | None, ...]:
    if grad_out is None:
        return (None,) * (6 + len(ctx.options) + 1)
    *tensors, saved = ctx.saved_tensors  # read once: under checkpointing, reading it recomputes the forward pass
    made = _evolve_backward(*tensors, saved, grad_out, *ctx.options)
    grads = [None if t is None else grad for t, grad in zip(tensors, made, strict=True)]
    return (*grads, *(None for _ in ctx.options), None)


_evolve.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_evolve, "cpu", torch.float32)
register_autocast(_evolve, "cuda", torch.float32)
map_by_slices(_evolve)
map_by_slices(_evolve_backward)
