"""The sparse CUDA kernels: their source on the CPU through the host shim, and on a real GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tests.support.gridnet_cuda import CSRC, SUPPORT, compile_with_shim
from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure

SOURCES = sorted((CSRC / "sparse" / "cuda").glob("*.cu"))
SHAPES = [(1, 1, 1, 1), (3, 5, 4, 0), (40, 33, 17, 60), (130, 70, 40, 300)]  # batch, inputs, outputs, entries
Library = ctypes.CDLL


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    target = tmp_path_factory.mktemp("sparse_shim") / "sparse.so"
    sources = [*SOURCES, SUPPORT / "sparse_cuda_api.cpp"]
    loaded = ctypes.CDLL(str(compile_with_shim(target, sources, ["-O1", "-fPIC", "-shared"])))
    loaded.forward.restype = loaded.backward.restype = ctypes.c_char_p
    loaded.workspace_bytes.restype = ctypes.c_size_t
    return loaded


def structure(outputs: int, inputs: int, entries: int) -> Structure:
    flat = torch.randperm(outputs * inputs, generator=torch.Generator().manual_seed(0))[:entries].sort().values
    return Structure.of(outputs, inputs, flat // inputs, flat % inputs)


def pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]


def call(library: Library, name: str, where: Structure, dtype: int, batch: int, *rest: object) -> None:
    shape = (ctypes.c_int64 * 3)(where.outputs, where.inputs, where.entries)
    pattern = (ctypes.c_void_p * 5)(*pointers(*where.pattern))
    size = library.workspace_bytes(dtype, shape, pattern, ctypes.c_int64(batch))
    workspace = torch.full((size,), 0xFF, dtype=torch.uint8)  # NaN as floating-point numbers of any size
    error = getattr(library, name)(dtype, shape, pattern, *rest, *pointers(workspace))
    assert not error, error.decode()


def check(found: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "code", "tolerance"), [(torch.float32, 0, 1e-4), (torch.float64, 1, 1e-11)], ids=str)
def test_output_and_every_gradient_equal_the_reference(
    library: Library, shape: tuple[int, int, int, int], dtype: torch.dtype, code: int, tolerance: float
) -> None:
    batch, inputs, outputs, entries = shape
    where = structure(outputs, inputs, entries)
    torch.manual_seed(0)
    x = torch.randn(batch, inputs, dtype=dtype, requires_grad=True)
    values = torch.randn(entries, dtype=dtype, requires_grad=True)
    grad_y = torch.randn(batch, outputs, dtype=dtype)
    y, grad_values, grad_x = (torch.full(t.shape, torch.nan, dtype=dtype) for t in (grad_y, values, x))
    count = ctypes.c_int64(batch)
    call(library, "forward", where, code, batch, *pointers(values, x), count, *pointers(y))
    call(library, "backward", where, code, batch, *pointers(values, x, grad_y), count, *pointers(grad_values, grad_x))
    wanted = sparse_linear_reference(x, values, where)
    wanted_values, wanted_x = torch.autograd.grad(wanted, (values, x), grad_y)
    check((y, grad_values, grad_x), (wanted, wanted_values, wanted_x), tolerance)
    only = torch.full_like(grad_values, torch.nan)
    call(library, "backward", where, code, batch, *pointers(values, x, grad_y), count, *pointers(only, None))
    assert torch.equal(only, grad_values)


def test_a_dtype_that_is_not_built_is_an_error(library: Library) -> None:
    shape, pattern = (ctypes.c_int64 * 3)(1, 1, 0), (ctypes.c_void_p * 5)()
    error = library.forward(3, shape, pattern, None, None, ctypes.c_int64(1), None, None)
    assert b"dtype 3 is not built into the sparse kernels" in error


@pytest.mark.cuda
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_on_a_gpu_output_and_gradients_equal_the_reference(shape: tuple[int, int, int, int], gpu: torch.device) -> None:
    batch, inputs, outputs, entries = shape
    where = structure(outputs, inputs, entries)
    moved = Structure(where.outputs, where.inputs, *(t.to(gpu) for t in where.pattern))
    x = torch.randn(batch, inputs, dtype=torch.float64, device=gpu, requires_grad=True)
    values = torch.randn(entries, dtype=torch.float64, device=gpu, requires_grad=True)
    found = torch.ops.zoo.sparse_linear(x, values, *moved.pattern)
    wanted = sparse_linear_reference(x, values, moved)
    grad_y = torch.randn_like(wanted)
    check((found, *torch.autograd.grad(found, (x, values), grad_y)),
          (wanted, *torch.autograd.grad(wanted, (x, values), grad_y)), 1e-10)  # fmt: skip
