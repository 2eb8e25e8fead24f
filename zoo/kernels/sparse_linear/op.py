"""The registered torch op ``zoo::sparse_linear``. Its compiled bodies touch only the entries, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import runtime
from zoo.kernels.sparse_linear.structure import Structure

CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}


def run_op(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """Call the op: ``x [B, inputs]`` and ``values [entries]`` -> ``[B, outputs]``."""
    y: Tensor = _forward(x.contiguous(), values.contiguous(), *structure.pattern)
    return y


def _arguments(pattern: tuple[Tensor, ...]) -> tuple[list[int], list[int]]:
    """Return the shape and the addresses of a pattern, as the kernels take them."""
    row_starts, columns, column_starts, _, _ = pattern
    return [len(row_starts) - 1, len(column_starts) - 1, len(columns)], [t.data_ptr() for t in pattern]


@custom_op("zoo::sparse_linear", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor, values: Tensor, row_starts: Tensor, columns: Tensor, column_starts: Tensor, rows: Tensor, order: Tensor
) -> Tensor:
    y = x.new_empty(len(x), len(row_starts) - 1)
    if len(x):
        kernel = getattr(runtime.compiled(), f"sparse_forward_{CPU_DTYPES[x.dtype]}")
        shape, pattern = _arguments((row_starts, columns, column_starts, rows, order))
        kernel(shape, pattern, values.data_ptr(), x.data_ptr(), len(x), y.data_ptr(), torch.get_num_threads())
    return y


@_forward.register_fake
def _(x: Tensor, values: Tensor, row_starts: Tensor, *rest: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], row_starts.shape[0] - 1)


@custom_op("zoo::sparse_linear_backward", mutates_args=(), device_types="cpu")
def _backward_op(
    x: Tensor,
    values: Tensor,
    grad_y: Tensor,
    row_starts: Tensor,
    columns: Tensor,
    column_starts: Tensor,
    rows: Tensor,
    order: Tensor,
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the values and of x (empty without ``need_x``)."""
    if not len(x):
        return torch.zeros_like(values), torch.zeros_like(x) if need_x else x.new_empty(0)
    grad_values = torch.empty_like(values)
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0)
    kernel = getattr(runtime.compiled(), f"sparse_backward_{CPU_DTYPES[x.dtype]}")
    shape, pattern = _arguments((row_starts, columns, column_starts, rows, order))
    kernel(
        shape, pattern, values.data_ptr(), x.data_ptr(), grad_y.data_ptr(), len(x), grad_values.data_ptr(),
        grad_x.data_ptr() if need_x else 0, torch.get_num_threads(),
    )  # fmt: skip
    return grad_values, grad_x


@_backward_op.register_fake
def _(x: Tensor, values: Tensor, grad_y: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(values), torch.empty_like(x) if rest[-1] else x.new_empty(0)


@_forward.register_kernel("cuda")
def _(x: Tensor, values: Tensor, *pattern: Tensor) -> Tensor:
    y = x.new_empty(len(x), len(pattern[0]) - 1)
    if len(x):
        kernels, (shape, addresses) = runtime.compiled(), _arguments(pattern)
        with torch.cuda.device(x.device):
            workspace = _cuda_workspace(x, shape)
            kernels.cuda_sparse_forward(
                shape, addresses, CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), len(x), y.data_ptr(),
                workspace.data_ptr(), torch.cuda.current_stream().cuda_stream,
            )  # fmt: skip
    return y


@_backward_op.register_kernel("cuda")
def _(x: Tensor, values: Tensor, grad_y: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *pattern, need_x = rest
    if not len(x):
        return torch.zeros_like(values), torch.zeros_like(x) if need_x else x.new_empty(0)
    grad_values = torch.empty_like(values)
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0)
    kernels, (shape, addresses) = runtime.compiled(), _arguments(tuple(pattern))
    with torch.cuda.device(x.device):
        workspace = _cuda_workspace(x, shape)
        kernels.cuda_sparse_backward(
            shape, addresses, CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), grad_y.data_ptr(), len(x),
            grad_values.data_ptr(), grad_x.data_ptr() if need_x else 0, workspace.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return grad_values, grad_x


def _cuda_workspace(x: Tensor, shape: list[int]) -> Tensor:
    size = runtime.compiled().cuda_sparse_workspace_bytes(shape, CUDA_DTYPES[x.dtype], len(x))
    return x.new_empty(size, dtype=torch.uint8)


def _setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    x, values, *pattern = ctx.saved_tensors
    need_x, need_values = ctx.needs_input_grad[:2]
    grad_values, grad_x = _backward_op(x, values, grad_y.contiguous(), *pattern, need_x)
    return grad_x if need_x else None, grad_values if need_values else None, *(None for _ in pattern)


_forward.register_autograd(_backward, setup_context=_setup_context)
register_autocast(_forward, "cpu", torch.float32)
register_autocast(_forward, "cuda", torch.float32)
