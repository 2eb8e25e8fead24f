"""The registered torch op ``zoo::sparse_linear``. Its compiled bodies touch only the entries, forward and backward.

Every body checks its arguments and takes tensors of any strides. A pattern's contents are checked when it is first
used, and again after it was changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime
from zoo.kernels.arguments import refuse_tangents, require
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.validated import Validated
from zoo.kernels.vmap import map_by_slices

CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}


def run_op(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """Call the op: ``x [B, inputs]`` and ``values [entries]`` -> ``[B, outputs]``."""
    refuse_tangents("sparse_linear", x, values)
    y: Tensor = _forward(x, values, *structure.pattern)
    return y


_PATTERN = "Tensor row_starts, Tensor columns, Tensor column_starts, Tensor rows, Tensor order"
_NAMES = ("row_starts", "columns", "column_starts", "rows", "order")


def _check(x: Tensor, values: Tensor, pattern: tuple[Tensor, ...], grad_y: Tensor | None = None) -> None:
    """Check x, values and grad_y beside a pattern; raises ValueError and TypeError."""
    require(("x", "values"), x, values)
    if x.ndim != 2:
        raise ValueError(f"x should be [B, inputs], found {list(x.shape)}")
    if x.dtype not in CPU_DTYPES:
        raise TypeError(f"x should be float32 or float64, found {x.dtype}")
    inputs, outputs = pattern[2].shape[0] - 1, pattern[0].shape[0] - 1
    if x.shape[1] != inputs:
        raise ValueError(f"x should be [B, {inputs}] to fit column_starts, found {list(x.shape)}")
    if x.device != pattern[0].device:
        raise ValueError(f"x is on {x.device}, row_starts are on {pattern[0].device}: they should be the same")
    _check_like("values", values, pattern[1].shape, x)
    if grad_y is not None:
        _check_like("grad_y", grad_y, (x.shape[0], outputs), x)


def _check_like(name: str, tensor: Tensor, shape: tuple[int, ...], x: Tensor) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} should be {list(shape)}, found {list(tensor.shape)}")
    if tensor.dtype != x.dtype:
        raise TypeError(f"{name} are {tensor.dtype}, x is {x.dtype}: they should be the same")
    if tensor.device != x.device:
        raise ValueError(f"{name} are on {tensor.device}, x is on {x.device}: they should be the same")


def _check_pattern(pattern: tuple[Tensor, ...]) -> None:
    """Check a pattern's dtypes, shapes and devices."""
    require(_NAMES, *pattern)
    for name, tensor in zip(_NAMES, pattern, strict=True):
        device, entries = pattern[0].device, pattern[1].shape
        starts = name.endswith("starts")
        if tensor.ndim != 1 or (starts and tensor.shape[0] < 1):
            raise ValueError(
                f"{name} should have one axis{' of at least 1' if starts else ''}, found {list(tensor.shape)}"
            )
        if tensor.dtype != torch.int32:
            raise TypeError(f"{name} should be int32, found {tensor.dtype}")
        if tensor.device != device:
            raise ValueError(f"{name} are on {tensor.device}, row_starts on {device}: they should be the same")
        if not starts and tensor.shape != entries:
            raise ValueError(f"{name} should be {list(entries)} like columns, found {list(tensor.shape)}")


class _Pattern(NamedTuple):
    """A pattern as the kernels take it."""

    shape: list[int]
    """Outputs, inputs and entries."""
    addresses: list[int]
    tensors: list[Tensor]
    """Contiguous; they own the memory."""


def _check_contents(pattern: tuple[Tensor, ...]) -> _Pattern:
    """Check that the indices of a pattern stay inside the matrix, and that its two orders have the same entries."""
    _check_pattern(pattern)
    if pattern[0].device.type == "meta":
        raise ValueError("row_starts are on meta, x is not: they should be the same")
    shape = [len(pattern[0]) - 1, len(pattern[2]) - 1, len(pattern[1])]
    tensors = [tensor.detach().contiguous() for tensor in pattern]
    here = [tensor.cpu() for tensor in tensors]  # waits for the copies above, which calls on any stream may read
    runtime.compiled().sparse_check(shape, _addresses(here))
    return _Pattern(shape, _addresses(tensors), tensors)


_known_pattern = Validated(_check_contents)


def _addresses(tensors: Iterable[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


@custom_op(
    "zoo::sparse_linear", mutates_args=(), device_types="cpu", schema=f"(Tensor x, Tensor values, {_PATTERN}) -> Tensor"
)
def _forward(x: Tensor, values: Tensor, *pattern: Tensor) -> Tensor:
    """Return ``[B, outputs]``."""
    known = _known_pattern(pattern)
    _check(x, values, pattern)
    y = x.new_empty(len(x), len(pattern[0]) - 1)
    if len(x):
        x, values = x.contiguous(), values.contiguous()
        kernel = getattr(runtime.compiled(), f"sparse_forward_{CPU_DTYPES[x.dtype]}")
        kernel(
            known.shape, known.addresses, values.data_ptr(), x.data_ptr(), len(x), y.data_ptr(), torch.get_num_threads()
        )
    return y


@_forward.register_fake
def _(x: Tensor, values: Tensor, *pattern: Tensor) -> Tensor:
    _check_pattern(pattern)
    _check(x, values, pattern)
    return x.new_empty(x.shape[0], pattern[0].shape[0] - 1)


@custom_op(
    "zoo::sparse_linear_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor values, Tensor grad_y, {_PATTERN}, bool need_x) -> (Tensor, Tensor)",
)
def _backward_op(x: Tensor, values: Tensor, grad_y: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Return the gradients of the values and of x (empty without ``need_x``)."""
    pattern, need_x = rest[:-1], rest[-1]
    require(("grad_y",), grad_y)
    known = _known_pattern(pattern)
    _check(x, values, pattern, grad_y)
    grad_values, grad_x = _new_grads(x, values, need_x)
    if len(x):
        x, values, grad_y = x.contiguous(), values.contiguous(), grad_y.contiguous()
        kernel = getattr(runtime.compiled(), f"sparse_backward_{CPU_DTYPES[x.dtype]}")
        kernel(
            known.shape, known.addresses, values.data_ptr(), x.data_ptr(), grad_y.data_ptr(), len(x),
            grad_values.data_ptr(), grad_x.data_ptr() if need_x else 0, torch.get_num_threads(),
        )  # fmt: skip
    return grad_values, grad_x


@_backward_op.register_fake
def _(x: Tensor, values: Tensor, grad_y: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    pattern, need_x = rest[:-1], rest[-1]
    require(("grad_y",), grad_y)
    _check_pattern(pattern)
    _check(x, values, pattern, grad_y)
    return values.new_empty(values.shape), x.new_empty(x.shape if need_x else 0)


@_forward.register_kernel("cuda")
def _(x: Tensor, values: Tensor, *pattern: Tensor) -> Tensor:
    known = _known_pattern(pattern)
    _check(x, values, pattern)
    y = x.new_empty(len(x), len(pattern[0]) - 1)
    if len(x):
        kernels = runtime.compiled()
        x, values = x.contiguous(), values.contiguous()
        with torch.cuda.device(x.device):
            workspace = _cuda_workspace(x, known.shape)
            kernels.cuda_sparse_forward(
                known.shape, known.addresses, CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), len(x),
                y.data_ptr(), workspace.data_ptr(), torch.cuda.current_stream().cuda_stream,
            )  # fmt: skip
    return y


@_backward_op.register_kernel("cuda")
def _(x: Tensor, values: Tensor, grad_y: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    pattern, need_x = rest[:-1], rest[-1]
    require(("grad_y",), grad_y)
    known = _known_pattern(pattern)
    _check(x, values, pattern, grad_y)
    grad_values, grad_x = _new_grads(x, values, need_x)
    if len(x):
        kernels = runtime.compiled()
        x, values, grad_y = x.contiguous(), values.contiguous(), grad_y.contiguous()
        with torch.cuda.device(x.device):
            workspace = _cuda_workspace(x, known.shape)
            kernels.cuda_sparse_backward(
                known.shape, known.addresses, CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), grad_y.data_ptr(),
                len(x), grad_values.data_ptr(), grad_x.data_ptr() if need_x else 0, workspace.data_ptr(),
                torch.cuda.current_stream().cuda_stream,
            )  # fmt: skip
    return grad_values, grad_x


def _new_grads(x: Tensor, values: Tensor, need_x: bool) -> tuple[Tensor, Tensor]:
    """Return the gradients' memory, zeros for an empty batch."""
    if not len(x):
        return values.new_zeros(values.shape), x.new_zeros(x.shape if need_x else 0)
    return values.new_empty(values.shape), x.new_empty(x.shape if need_x else 0)


def _cuda_workspace(x: Tensor, shape: list[int]) -> Tensor:
    size = runtime.compiled().cuda_sparse_workspace_bytes(shape, CUDA_DTYPES[x.dtype], len(x))
    return x.new_empty(size, dtype=torch.uint8)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    x, values, *pattern = ctx.saved_tensors
    need_x, need_values = ctx.needs_input_grad[:2]
    grad_values, grad_x = _backward_op(x, values, grad_y, *pattern, need_x)
    return grad_x if need_x else None, grad_values if need_values else None, *(None for _ in pattern)


_forward.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_forward, "cpu", torch.float32)
register_autocast(_forward, "cuda", torch.float32)
map_by_slices(_forward)
map_by_slices(_backward_op)
