"""The registered torch ops behind the small computations, ``zoo::linear`` and others: compiled bodies for the CPU.

Every body checks its arguments and takes tensors of any strides. The backward pass is the reference's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from sdk.kernels import FUNCTIONS
from zoo.kernels import runtime
from zoo.kernels.arguments import require
from zoo.kernels.dense import reference
from zoo.kernels.vmap import map_by_slices


def _check(names: tuple[str, ...], *tensors: Tensor) -> None:
    """Check that tensors are float32 and on one device, and that each axis but a batch's has elements."""
    require(names, *tensors)
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.dtype != torch.float32:
            raise TypeError(f"{name} should be float32, found {tensor.dtype}")
        if tensor.layout != torch.strided or tensor.device != tensors[0].device:
            raise ValueError(
                f"{name} should be dense and on {tensors[0].device}, found {tensor.layout} on {tensor.device}"
            )


def _check_shape(name: str, tensor: Tensor, shape: tuple[int | None, ...]) -> None:
    """Check a shape; None stands for any number of elements but none."""
    found = tuple(tensor.shape)
    fits = len(found) == len(shape) and all(
        size >= 1 if wanted is None else size == wanted for size, wanted in zip(found, shape, strict=True)
    )
    if not fits:
        listed = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
        raise ValueError(f"{name} should be [{listed}], found {list(found)}")


def _check_linear(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    _check(("x", "weight", "bias"), x, weight, bias)
    _check_shape("weight", weight, (None, None))
    _check_shape("bias", bias, (weight.shape[0],))
    _check_rows(x, weight.shape[1])


def _check_rows(x: Tensor, size: int) -> None:
    if x.ndim != 2 or x.shape[1] != size:
        raise ValueError(f"x should be [rows, {size}], found {list(x.shape)}")


def _check_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> None:
    _check(("x", "weight", "bias"), x, weight, bias)
    _check_shape("weight", weight, (None,))
    _check_shape("bias", bias, tuple(weight.shape))
    _check_rows(x, weight.shape[0])
    if not 0 < eps < math.inf:
        raise ValueError(f"eps should be greater than 0 and finite, found {eps}")


def _check_apply(x: Tensor, function: str) -> None:
    _check(("x",), x)
    if function not in FUNCTIONS:
        raise ValueError(f"function should be one of {', '.join(FUNCTIONS)}, found {function!r}")


def _check_mixture(logits: Tensor, weights: Tensor) -> None:
    _check(("logits", "weights"), logits, weights)
    _check_shape("weights", weights, (None,))
    if logits.ndim != 3 or logits.shape[0] != weights.shape[0] or logits.shape[2] < 1:
        raise ValueError(f"logits should be [{weights.shape[0]}, batch, classes], found {list(logits.shape)}")


@custom_op(
    "zoo::linear", mutates_args=(), device_types="cpu", schema="(Tensor x, Tensor weight, Tensor bias) -> Tensor"
)
def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``[rows, inputs]`` -> ``[rows, outputs]``."""
    _check_linear(x, weight, bias)
    y = x.new_empty(len(x), len(weight))
    if len(x):
        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        shape = [len(x), *reversed(weight.shape)]
        runtime.compiled().linear(
            shape, weight.data_ptr(), bias.data_ptr(), x.data_ptr(), y.data_ptr(), torch.get_num_threads()
        )
    return y


@custom_op(
    "zoo::layer_norm",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor x, Tensor weight, Tensor bias, float eps) -> Tensor",
)
def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``[rows, n]`` -> ``[rows, n]``."""
    _check_norm(x, weight, bias, eps)
    y = x.new_empty(x.shape)
    if len(x):
        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        runtime.compiled().layer_norm(
            *x.shape, weight.data_ptr(), bias.data_ptr(), eps, x.data_ptr(), y.data_ptr(), torch.get_num_threads()
        )
    return y


@custom_op("zoo::apply", mutates_args=(), device_types="cpu", schema="(Tensor x, str function) -> Tensor")
def apply(x: Tensor, function: str) -> Tensor:
    """Apply a function by name to every element."""
    _check_apply(x, function)
    y = x.new_empty(x.shape)
    if x.numel():
        x = x.contiguous()
        runtime.compiled().apply(FUNCTIONS[function], x.numel(), x.data_ptr(), y.data_ptr(), torch.get_num_threads())
    return y


@custom_op("zoo::log_mixture", mutates_args=(), device_types="cpu", schema="(Tensor logits, Tensor weights) -> Tensor")
def log_mixture(logits: Tensor, weights: Tensor) -> Tensor:
    """``[members, B, classes]`` -> ``[B, classes]``."""
    _check_mixture(logits, weights)
    members, batch, classes = logits.shape
    y = logits.new_empty(batch, classes)
    if batch:
        logits, weights = logits.contiguous(), weights.contiguous()
        runtime.compiled().mix(
            [batch, members, classes], weights.data_ptr(), logits.data_ptr(), y.data_ptr(), torch.get_num_threads()
        )
    return y


@linear.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    _check_linear(x, weight, bias)
    return x.new_empty(x.shape[0], weight.shape[0])


@layer_norm.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    _check_norm(x, weight, bias, eps)
    return x.new_empty(x.shape)


@apply.register_fake
def _(x: Tensor, function: str) -> Tensor:
    _check_apply(x, function)
    return x.new_empty(x.shape)


@log_mixture.register_fake
def _(logits: Tensor, weights: Tensor) -> Tensor:
    _check_mixture(logits, weights)
    return logits.new_empty(logits.shape[1:])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.options = inputs[len(tensors) :]


def _backward_of(specification: Callable[..., Tensor]) -> Callable[..., tuple[Tensor | None, ...]]:
    """Return the backward pass of an op, which differentiates its specification."""

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        with torch.enable_grad():
            y = specification(*tensors, *ctx.options)
        return (*torch.autograd.grad(y, tensors, grad), *(None for _ in ctx.options))

    return backward


for _op, _specification in (
    (linear, reference.linear),
    (layer_norm, reference.layer_norm),
    (apply, reference.apply),
    (log_mixture, reference.log_mixture),
):
    _op.register_autograd(_backward_of(_specification), setup_context=_setup_context)
    map_by_slices(_op)
