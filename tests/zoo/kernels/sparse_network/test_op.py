"""The network of units: the compiled op against the reference, its structure, and when it is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo.kernels.sparse_network import DENSE_FROM, Network, is_faster, sparse_network
from zoo.kernels.sparse_network import op as module
from zoo.kernels.sparse_network.reference import sparse_network_reference

FUNCTIONS = ("tanh", "sigmoid", "relu")
SHAPES: list[tuple[int, int, tuple[int, ...], float]] = [  # batch, inputs, layers, density
    (1, 1, (1,), 1.0),
    (3, 5, (4,), 0.0),
    (7, 33, (17, 5), 0.2),
    (64, 20, (9, 3, 4), 0.5),
    (65, 784, (30, 10), 0.01),
    (200, 12, (8, 8, 8, 8, 2), 0.9),
]
Case = tuple[list[Tensor], Network]


def network(inputs: int, layers: tuple[int, ...], density: float, seed: int = 0) -> Network:
    """Draw edges between any two layers; they share the slots of a smaller number of weights."""
    generator = torch.Generator().manual_seed(seed)
    layer_of = torch.repeat_interleave(torch.arange(1 + len(layers)), torch.tensor([inputs, *layers]))
    source, target = torch.where(layer_of[:, None] < layer_of[None, :])
    chosen = torch.randperm(len(source), generator=generator)[: round(density * len(source))]
    slots = torch.randint(0, 1 + len(chosen) // 2, (len(chosen),), generator=generator)
    return Network.of(inputs, layers, source[chosen], target[chosen], slots)


def case(
    batch: int, inputs: int, layers: tuple[int, ...], density: float, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Case:
    """Draw x, weight and bias: a bias for two units where their number is even, and a weight that no edge has."""
    where = network(inputs, layers, density, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    sizes = ((batch, inputs), (2 + len(where.slots) // 2,), (sum(layers) // (2 - sum(layers) % 2),))
    return [torch.randn(size, generator=generator, dtype=dtype, requires_grad=True) for size in sizes], where


def kernel(x: Tensor, weight: Tensor, bias: Tensor, where: Network, function: str = "tanh") -> Tensor:
    out: Tensor = torch.ops.zoo.sparse_network(x, weight, bias, *where.tensors, where.outputs, function)[0]
    return out


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_output_and_every_gradient_equal_the_reference(
    shape: Any, function: str, dtype: torch.dtype, tolerance: float
) -> None:
    tensors, where = case(*shape, dtype=dtype)
    grad = torch.randn(shape[0], shape[2][-1], dtype=dtype)
    found = kernel(*tensors, where, function)  # type: ignore[arg-type]
    found_grads = torch.autograd.grad(found, tensors, grad)
    wanted = sparse_network_reference(*tensors, where, function)  # type: ignore[arg-type]
    wanted_grads = torch.autograd.grad(wanted, tensors, grad, materialize_grads=True)
    for a, b in zip((found, *found_grads), (wanted, *wanted_grads), strict=True):
        scale = float(1 + b.detach().abs().max()) if b.numel() else 1.0
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


def test_work_for_several_threads_gives_the_numbers_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, where = case(600, 100, (90, 10), 0.2)
    results = []
    for threads in (1, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = kernel(*tensors, where)  # type: ignore[arg-type]
        results.append([y, *torch.autograd.grad(y.square().sum(), tensors)])
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(0, 70), inputs=st.integers(1, 20), layers=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    density=st.floats(0, 1), function=st.sampled_from(FUNCTIONS), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_network_equals_the_reference(
    batch: int, inputs: int, layers: list[int], density: float, function: str, seed: int
) -> None:
    tensors, where = case(batch, inputs, tuple(layers), density, seed=seed)
    found, wanted = kernel(*tensors, where, function), sparse_network_reference(*tensors, where, function)  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("function", ["tanh", "sigmoid"])
def test_gradcheck_in_float64(function: str) -> None:
    tensors, where = case(5, 6, (4, 3), 0.6)
    assert torch.autograd.gradcheck(lambda *t: kernel(*t, where, function), tensors)


def test_opcheck() -> None:
    tensors, where = case(5, 6, (4, 3), 0.6, torch.float32)
    torch.library.opcheck(torch.ops.zoo.sparse_network, (*tensors, *where.tensors, 3, "tanh"))
    given = [tensor.detach() for tensor in tensors]
    saved = torch.ops.zoo.sparse_network(*given, *where.tensors, 3, "tanh")[1]
    for need_x in (True, False):
        torch.library.opcheck(
            torch.ops.zoo.sparse_network_backward,
            (*given, saved, torch.randn(5, 3), *where.tensors, 3, "tanh", need_x),
            test_utils=("test_schema", "test_faketensor"),
        )


def test_it_compiles_without_graph_breaks() -> None:
    (x, weight, bias), where = case(5, 6, (4, 3), 0.6)
    compiled = torch.compile(lambda x: kernel(x, weight, bias, where).tanh(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), kernel(x, weight, bias, where).tanh())


def test_an_unneeded_gradient_is_not_computed() -> None:
    (x, weight, bias), where = case(5, 6, (4, 3), 0.6)
    kernel(x.detach(), weight, bias, where).sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    saved = x.new_zeros((len(where.columns) + 7) * 64)
    given = (x, weight, bias, saved, x.new_zeros(5, 3), *where.tensors, 3, "tanh")
    assert torch.ops.zoo.sparse_network_backward(*given, False)[0].numel() == 0


def test_memory_that_holds_nan_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, where = case(70, 12, (8, 8, 2), 0.3)
    wanted = kernel(*tensors, where)  # type: ignore[arg-type]
    grads = torch.autograd.grad(wanted.sum(), tensors)
    monkeypatch.setattr(Tensor, "new_empty", lambda self, *size: self.new_ones(*size) * torch.nan)
    found = kernel(*tensors, where)  # type: ignore[arg-type]
    assert torch.equal(found, wanted)
    for a, b in zip(torch.autograd.grad(found.sum(), tensors), grads, strict=True):
        assert torch.equal(a, b)


def test_samples_that_fill_no_tile_add_nothing() -> None:
    """A bias of infinity gives no 0 times infinity in the lanes without a sample."""
    where = Network.of(1, (1, 1), torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([0, 1]))
    x = torch.full((1, 1), -torch.inf)
    weight, bias = torch.ones(2, requires_grad=True), torch.tensor([1e38, 0.0]) * 1e5
    (grad,) = torch.autograd.grad(kernel(x.nan_to_num(), weight, bias.nan_to_num(), where, "relu").sum(), weight)
    assert bool(grad.isfinite().all())


def test_saved_rows_may_come_back_anywhere_in_memory() -> None:
    tensors, where = case(70, 12, (8, 2), 0.5, torch.float32)
    wanted = torch.autograd.grad(kernel(*tensors, where).sum(), tensors)  # type: ignore[arg-type]
    moved = lambda t: torch.cat([t.new_zeros(1), t.detach().flatten()])[1:].view(t.shape)  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(moved, lambda tensor: tensor):
        found = torch.autograd.grad(kernel(*tensors, where).sum(), tensors)  # type: ignore[arg-type]
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


def test_strided_tensors_are_accepted() -> None:
    (x, weight, bias), where = case(5, 6, (4, 3), 0.6)
    doubled = torch.stack([weight, weight], 1)[:, 0]
    torch.testing.assert_close(kernel(x.t().contiguous().t(), doubled, bias, where), kernel(x, weight, bias, where))


def test_few_edges_use_the_kernel_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = network(10, (10, 5), 0.1), network(10, (10, 5), DENSE_FROM)
    x = torch.zeros(1, 10)
    assert is_faster(x, few)
    assert not is_faster(x, many)
    assert not is_faster(x.to("meta"), few)
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    assert not is_faster(x, few)


def test_the_environment_forces_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    monkeypatch.setattr(module, "_forward", None)
    tensors, where = case(2, 6, (4, 3), 0.6)
    assert sparse_network(*tensors, where, "tanh").shape == (2, 3)  # type: ignore[arg-type]


def test_rows_are_the_inputs_that_are_read_and_then_the_units() -> None:
    where = Network.of(5, (2, 1), torch.tensor([5, 3, 1, 3]), torch.tensor([7, 5, 6, 7]), torch.arange(4))
    assert where.columns.tolist() == [1, 3]
    assert where.starts.tolist() == [0, 1, 2, 4]
    assert where.sources.tolist() == [1, 0, 1, 2]
    assert where.slots.tolist() == [1, 2, 3, 0]
    assert where.density == 4 / (5 * 2 + 7 * 1)


@pytest.mark.parametrize(("source", "target"), [(0, 1), (2, 3), (3, 2), (0, 5), (-1, 2), (4, 4)])
def test_edges_that_lead_to_no_later_layer_are_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match=r"edges should lead from a layer of 2, \(2, 1\) to a later one"):
        Network.of(2, (2, 1), torch.tensor([source]), torch.tensor([target]), torch.tensor([0]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": [0, 9]}, "columns holds an index outside 0 to 4"),
        ({"columns": [3, 1]}, "columns does not rise"),
        ({"sources": [1, 0, 2, 1]}, "sources does not rise within a unit, or holds a row"),
        ({"slots": [0, 1, 2, 4]}, "slots holds an index outside 0 to 3"),
        ({"sources": [1, 0, 1, 4]}, "sources does not rise within a unit, or holds a row"),
        ({"sources": [1, -1, 1, 2]}, "sources does not rise within a unit, or holds a row"),
        ({"starts": [0, 2, 1, 4]}, "starts does not rise"),
        ({"starts": [0, 1, 2, 3]}, "starts does not rise"),
    ],
)
def test_indices_that_lead_outside_are_refused(changes: dict[str, list[int]], message: str) -> None:
    where = Network.of(5, (2, 1), torch.tensor([5, 3, 1, 3]), torch.tensor([7, 5, 6, 7]), torch.arange(4))
    bad = replace(where, **{key: torch.tensor(value, dtype=torch.int32) for key, value in changes.items()})
    with pytest.raises(ValueError, match=message):
        kernel(torch.zeros(1, 5), torch.zeros(4), torch.zeros(3), bad)


@pytest.mark.parametrize(
    ("tensors", "function", "error", "message"),
    [
        ({"x": torch.zeros(6)}, "tanh", ValueError, r"x should have 2 axes, found \[6\]"),
        ({"x": torch.zeros(2, 5)}, "tanh", ValueError, "columns holds an index outside 0 to 4"),
        ({"weight": torch.zeros(2, 2)}, "tanh", ValueError, r"weight should have 1 axes, found \[2, 2\]"),
        ({"weight": torch.zeros(3)}, "tanh", ValueError, "slots holds an index outside 0 to 2"),
        ({"bias": torch.zeros(0)}, "tanh", ValueError, "bias should have a length that divides 7, .*, found 0"),
        ({"bias": torch.zeros(5)}, "tanh", ValueError, "bias should have a length that divides 7, .*, found 5"),
        ({"x": torch.zeros(2, 6).double()}, "tanh", TypeError, "x should be torch.float32, found torch.float64"),
        ({"weight": torch.zeros(9).half()}, "tanh", TypeError, "weight should be float32 or float64"),
        ({"x": torch.zeros(2, 6, device="meta")}, "tanh", ValueError, "x is on meta, weight on cpu"),
        ({}, "gelu", ValueError, "function should be one of tanh, sigmoid, relu, found 'gelu'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    tensors: dict[str, Tensor], function: str, error: type[Exception], message: str
) -> None:
    given = {"x": torch.zeros(2, 6), "weight": torch.zeros(30), "bias": torch.zeros(7), **tensors}
    with pytest.raises(error, match=message):
        sparse_network(*given.values(), network(6, (4, 3), 0.6), function)  # type: ignore[arg-type]
