"""The sparse linear layer: the compiled op against the reference, and when it is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo.kernels.sparse_linear import DENSE_FROM, sparse_linear, uses_kernel
from zoo.kernels.sparse_linear import op as module
from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure

SHAPES = [  # batch, inputs, outputs, entries
    (1, 1, 1, 1),
    (3, 5, 4, 0),
    (7, 33, 17, 40),
    (16, 20, 9, 30),
    (40, 12, 300, 90),
    (65, 784, 256, 24),
    (130, 64, 48, 500),
]


def structure(outputs: int, inputs: int, entries: int, seed: int = 0) -> Structure:
    flat = torch.randperm(outputs * inputs, generator=torch.Generator().manual_seed(seed))[:entries].sort().values
    return Structure.of(outputs, inputs, flat // inputs, flat % inputs)


def kernel(x: Tensor, values: Tensor, where: Structure) -> Tensor:
    out: Tensor = torch.ops.zoo.sparse_linear(x, values, *where.pattern)
    return out


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_output_and_every_gradient_equal_the_reference(
    shape: tuple[int, int, int, int], dtype: torch.dtype, tolerance: float, threads: int
) -> None:
    batch, inputs, outputs, entries = shape
    where = structure(outputs, inputs, entries)
    torch.manual_seed(1)
    x = torch.randn(batch, inputs, dtype=dtype, requires_grad=True)
    values = torch.randn(entries, dtype=dtype, requires_grad=True)
    grad = torch.randn(batch, outputs, dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = kernel(x, values, where)
        found_grads = torch.autograd.grad(found, (x, values), grad)
    finally:
        torch.set_num_threads(before)
    wanted = sparse_linear_reference(x, values, where)
    wanted_grads = torch.autograd.grad(wanted, (x, values), grad)
    for a, b in zip((found, *found_grads), (wanted, *wanted_grads), strict=True):
        scale = float(1 + b.detach().abs().max()) if b.numel() else 1.0
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(0, 70), inputs=st.integers(1, 40), outputs=st.integers(1, 40), share=st.floats(0, 1),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_structure_equals_the_reference(batch: int, inputs: int, outputs: int, share: float, seed: int) -> None:
    where = structure(outputs, inputs, int(share * inputs * outputs), seed)
    x, values = torch.randn(batch, inputs).double(), torch.randn(where.entries).double()
    torch.testing.assert_close(kernel(x, values, where), sparse_linear_reference(x, values, where))


def test_gradcheck_in_float64() -> None:
    where = structure(6, 9, 20)
    x = torch.randn(5, 9, dtype=torch.float64, requires_grad=True)
    values = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: kernel(a, b, where), (x, values))


def test_opcheck() -> None:
    where = structure(6, 9, 20)
    x, values = torch.randn(5, 9, requires_grad=True), torch.randn(20, requires_grad=True)
    torch.library.opcheck(torch.ops.zoo.sparse_linear, (x, values, *where.pattern))
    grad = torch.randn(5, 6)
    for need_x in (True, False):
        torch.library.opcheck(
            torch.ops.zoo.sparse_linear_backward,
            (x.detach(), values.detach(), grad, *where.pattern, need_x),
            test_utils=("test_schema", "test_faketensor"),
        )


def test_it_compiles_without_graph_breaks() -> None:
    where = structure(6, 9, 20)
    x, values = torch.randn(5, 9), torch.randn(20)
    compiled = torch.compile(lambda a, b: kernel(a, b, where).tanh(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, values), kernel(x, values, where).tanh())


def test_an_unneeded_gradient_is_not_computed() -> None:
    where = structure(6, 9, 20)
    x = torch.randn(5, 9)
    _, grad_x = torch.ops.zoo.sparse_linear_backward(x, torch.randn(20), torch.randn(5, 6), *where.pattern, False)
    assert grad_x.numel() == 0


def test_non_contiguous_inputs_are_accepted() -> None:
    where = structure(40, 90, 30)
    x, values = torch.randn(90, 5).T, torch.randn(60)[::2]
    torch.testing.assert_close(sparse_linear(x, values, where), sparse_linear_reference(x, values, where))


def test_low_densities_use_the_kernel_and_high_ones_the_dense_form() -> None:
    few, many = structure(40, 50, 1), structure(40, 50, round(40 * 50 * DENSE_FROM["cpu"]))
    assert uses_kernel(few, "cpu")
    assert not uses_kernel(many, "cpu")
    assert not uses_kernel(few, "mps")


def test_the_environment_forces_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    monkeypatch.setattr(module, "_forward", None)
    where = structure(4, 5, 1)
    assert sparse_linear(torch.randn(2, 5), torch.randn(1), where).shape == (2, 4)


@pytest.mark.parametrize(
    ("x", "values", "error", "message"),
    [
        (torch.zeros(2, 4), torch.zeros(3), ValueError, r"x should be \[B, 5\], found \[2, 4\]"),
        (torch.zeros(5), torch.zeros(3), ValueError, r"x should be \[B, 5\], found \[5\]"),
        (torch.zeros(2, 5), torch.zeros(4), ValueError, r"values should be \[3\], found \[4\]"),
        (torch.zeros(2, 5).half(), torch.zeros(3).half(), TypeError, "float32 or float64, found torch.float16"),
        (torch.zeros(2, 5), torch.zeros(3).double(), TypeError, "values are torch.float64, x is torch.float32"),
        (torch.zeros(2, 5, device="meta"), torch.zeros(3), ValueError, "x is on meta"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(x: Tensor, values: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sparse_linear(x, values, structure(4, 5, 3))


@pytest.mark.parametrize(
    ("rows", "columns"), [([1, 0], [0, 0]), ([0, 0], [1, 1]), ([0, 4], [0, 0]), ([0, 1], [-1, 0]), ([0, 1], [0, 5])]
)
def test_a_structure_out_of_order_or_range_is_refused(rows: list[int], columns: list[int]) -> None:
    with pytest.raises(ValueError, match=r"entries of \[4, 5\], sorted, each once"):
        Structure.of(4, 5, torch.tensor(rows), torch.tensor(columns))


@pytest.mark.parametrize("field", ["row_starts", "columns", "column_starts", "rows", "order"])
@pytest.mark.parametrize("wrong", [-1, 2**30])
def test_the_kernel_checks_every_index_before_it_reads_memory(field: str, wrong: int) -> None:
    where = structure(4, 5, 6)
    spoiled = getattr(where, field).clone()
    spoiled[1] = wrong
    with pytest.raises(ValueError, match=field):
        kernel(torch.zeros(2, 5), torch.zeros(6), replace(where, **{field: spoiled}))
