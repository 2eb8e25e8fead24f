"""A linear layer with few weights: ``y = x W^T`` for a sparse matrix W whose structure is fixed.

One registered op, ``zoo::sparse_linear``, with compiled bodies that touch the entries alone, forward and backward.
Above a measured density, and on devices without a compiled body, a dense matrix with zeros in it is faster or all
there is: :func:`sparse_linear` chooses. ZOO_KERNELS=reference forces the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op, register_autocast

from zoo.kernels import backend

DENSE_FROM = {"cpu": 0.25, "cuda": 0.05}
"""The density from which the dense form is faster, per device; `zoo bench family snapshots` measures it."""
_CPU_DTYPES = {torch.float32: "float", torch.float64: "double"}
_CUDA_DTYPES = {torch.float32: 0, torch.float64: 1}


@dataclass(frozen=True)
class Structure:
    """Where a sparse ``[outputs, inputs]`` matrix has entries. Values come in the order of rows, then columns."""

    outputs: int
    inputs: int
    row_starts: Tensor
    """Where each row's entries begin, int32 ``[outputs + 1]``."""
    columns: Tensor
    """Each entry's column, int32 ``[entries]``."""
    column_starts: Tensor
    """Where each column's entries begin when sorted by column, int32 ``[inputs + 1]``."""
    rows: Tensor
    """Each entry's row when sorted by column, int32 ``[entries]``."""
    order: Tensor
    """Which entry that is, int32 ``[entries]``."""

    @classmethod
    def of(cls, outputs: int, inputs: int, rows: Tensor, columns: Tensor) -> Structure:
        """From the entries' rows and columns, int64 ``[entries]``, sorted; raises ValueError when they are not."""
        flat = rows * inputs + columns
        inside = (rows >= 0) & (rows < outputs) & (columns >= 0) & (columns < inputs)
        if not bool(inside.all()) or not bool((flat[1:] > flat[:-1]).all()):
            raise ValueError(f"rows and columns should be entries of [{outputs}, {inputs}], sorted, each once")
        order = torch.argsort(columns, stable=True)
        return cls(
            outputs, inputs, _starts(rows, outputs), columns.int(), _starts(columns, inputs), rows[order].int(),
            order.int(),
        )  # fmt: skip

    @property
    def entries(self) -> int:
        return len(self.columns)

    @property
    def density(self) -> float:
        return self.entries / (self.outputs * self.inputs)

    @cached_property
    def flat(self) -> Tensor:
        """Where each entry lies in the row-major matrix, int64 ``[entries]``."""
        counts = self.row_starts.diff().long()
        rows = torch.repeat_interleave(torch.arange(self.outputs, device=counts.device), counts)
        return rows * self.inputs + self.columns

    @property
    def pattern(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The tensors that the op takes."""
        return self.row_starts, self.columns, self.column_starts, self.rows, self.order


def _starts(sorted_or_not: Tensor, count: int) -> Tensor:
    sizes = torch.bincount(sorted_or_not, minlength=count)
    return F.pad(sizes.cumsum(0), (1, 0)).int()


def sparse_linear_reference(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """The specification: ``[B, inputs]`` times the transposed matrix with ``values [entries]`` -> ``[B, outputs]``."""
    size = structure.outputs * structure.inputs
    weight = values.new_zeros(size).index_put((structure.flat,), values)
    return F.linear(x, weight.view(structure.outputs, structure.inputs))


def sparse_linear(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """``x [B, inputs]`` and the matrix's ``values [entries]`` -> ``[B, outputs]``, by whichever form is faster.

    float32 and float64, both of one dtype and device. Raises ValueError, TypeError.
    """
    _check(x, values, structure)
    if backend.mode() == "reference" or not uses_kernel(structure, x.device.type):
        return sparse_linear_reference(x, values, structure)
    y: Tensor = _forward(x.contiguous(), values.contiguous(), *structure.pattern)
    return y


def uses_kernel(structure: Structure, device: str) -> bool:
    """Whether the compiled kernel runs, rather than the dense form."""
    built = device == "cpu" or (device == "cuda" and backend.compiled().cuda_built)
    return built and structure.density < DENSE_FROM[device]


def _check(x: Tensor, values: Tensor, structure: Structure) -> None:
    if x.ndim != 2 or x.shape[1] != structure.inputs:
        raise ValueError(f"x should be [B, {structure.inputs}], found {list(x.shape)}")
    if values.shape != (structure.entries,):
        raise ValueError(f"values should be [{structure.entries}], found {list(values.shape)}")
    if x.dtype not in _CPU_DTYPES:
        raise TypeError(f"x should be float32 or float64, found {x.dtype}")
    if values.dtype != x.dtype:
        raise TypeError(f"values are {values.dtype}, x is {x.dtype}: they should be the same")
    if not x.device == values.device == structure.columns.device:
        raise ValueError(f"x is on {x.device}, values on {values.device}, the structure on {structure.columns.device}")


# --- the op ---


def _arguments(pattern: tuple[Tensor, ...]) -> tuple[list[int], list[int]]:
    """The kernels' shape and addresses of a pattern."""
    row_starts, columns, column_starts, _, _ = pattern
    return [len(row_starts) - 1, len(column_starts) - 1, len(columns)], [t.data_ptr() for t in pattern]


@custom_op("zoo::sparse_linear", mutates_args=(), device_types="cpu")
def _forward(
    x: Tensor, values: Tensor, row_starts: Tensor, columns: Tensor, column_starts: Tensor, rows: Tensor, order: Tensor
) -> Tensor:
    y = x.new_empty(len(x), len(row_starts) - 1)
    if len(x):
        kernel = getattr(backend.compiled(), f"sparse_forward_{_CPU_DTYPES[x.dtype]}")
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
    """Gradients of the values and, with ``need_x``, of x (else empty)."""
    if not len(x):
        return torch.zeros_like(values), torch.zeros_like(x) if need_x else x.new_empty(0)
    grad_values = torch.empty_like(values)
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0)
    kernel = getattr(backend.compiled(), f"sparse_backward_{_CPU_DTYPES[x.dtype]}")
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
        kernels, (shape, addresses) = backend.compiled(), _arguments(pattern)
        with torch.cuda.device(x.device):
            workspace = _cuda_workspace(x, shape)
            kernels.cuda_sparse_forward(
                shape, addresses, _CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), len(x), y.data_ptr(),
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
    kernels, (shape, addresses) = backend.compiled(), _arguments(tuple(pattern))
    with torch.cuda.device(x.device):
        workspace = _cuda_workspace(x, shape)
        kernels.cuda_sparse_backward(
            shape, addresses, _CUDA_DTYPES[x.dtype], values.data_ptr(), x.data_ptr(), grad_y.data_ptr(), len(x),
            grad_values.data_ptr(), grad_x.data_ptr() if need_x else 0, workspace.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )  # fmt: skip
    return grad_values, grad_x


def _cuda_workspace(x: Tensor, shape: list[int]) -> Tensor:
    size = backend.compiled().cuda_sparse_workspace_bytes(shape, _CUDA_DTYPES[x.dtype], len(x))
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
