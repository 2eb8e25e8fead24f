"""The small computations of inference: the reference's numbers, gradients through the reference, torch's transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from zoo.kernels import dense, runtime
from zoo.kernels.dense import op, reference

FUNCTIONS = tuple(reference.FUNCTIONS)
ROWS = (0, 1, 3, 4, 5, 130)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def calls(rows: int, size: int, outputs: int) -> dict[str, tuple[Any, ...]]:
    """Arguments of each computation."""
    x = numbers(rows, size) * 3 + 1
    return {
        "linear": (x, numbers(outputs, size, seed=1), numbers(outputs, seed=2)),
        "layer_norm": (x, numbers(size, seed=1), numbers(size, seed=2), 1e-5),
        "log_mixture": (numbers(outputs, rows, size) * 5, numbers(outputs, seed=1).abs() + 0.1),
        **{f"apply {name}": (x, name) for name in FUNCTIONS},
    }


def computation(name: str, module: Any = dense) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(module, name.split()[0])
    return function


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize(("size", "outputs"), [(1, 1), (3, 2), (16, 17), (75, 33), (300, 10)])
def test_they_are_the_references_numbers(size: int, outputs: int) -> None:
    for rows in ROWS:
        for name, arguments in calls(rows, size, outputs).items():
            found, wanted = (computation(name, module)(*arguments) for module in (dense, reference))
            torch.testing.assert_close(found, wanted, atol=2e-5, rtol=2e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.usefixtures("isa")
def test_a_row_does_not_depend_on_its_batch_or_on_threads(threads: Callable[[int], None]) -> None:
    for name, arguments in calls(257, 300, 40).items():
        threads(1)
        whole = computation(name)(*arguments)
        threads(3)
        assert torch.equal(computation(name)(*arguments), whole), name
        axis = 1 if name == "log_mixture" else 0
        parts = [computation(name)(part, *arguments[1:]) for part in arguments[0].split([1, 6, 250], axis)]
        assert torch.equal(torch.cat(parts), whole), name


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 200.0, -200.0])
def test_extreme_numbers_stay_extreme(value: float) -> None:
    for name, arguments in calls(2, 20, 3).items():
        spoiled = arguments[0].clone()
        spoiled[0, 0] = value
        found = computation(name)(spoiled, *arguments[1:])
        wanted = computation(name, reference)(spoiled, *arguments[1:])
        assert torch.equal(found.isfinite(), wanted.isfinite()), name


def test_with_gradients_and_elsewhere_torch_computes() -> None:
    x = numbers(3, 4)
    assert dense.in_inference(x)
    assert not dense.in_inference(x, x.double())
    assert not dense.in_inference(x.to("meta"))
    assert not dense.in_inference(x, torch.nn.Parameter(x))
    with torch.no_grad():
        assert dense.in_inference(x, torch.nn.Parameter(x))
    with torch.autocast("cpu"):
        assert not dense.in_inference(x)
    with forward_ad.dual_level():
        assert not dense.in_inference(x)
    with runtime.using_reference():
        assert not dense.in_inference(x)


@pytest.mark.parametrize("name", ["linear", "layer_norm", "log_mixture", "apply tanh"])
def test_gradients_of_the_op_are_those_of_the_reference(name: str) -> None:
    arguments = calls(5, 6, 3)[name]
    given = [a.requires_grad_() if isinstance(a, Tensor) else a for a in arguments]
    tensors = [a for a in given if isinstance(a, Tensor)]
    found = torch.autograd.grad(computation(name, op)(*given).square().sum(), tensors)
    wanted = torch.autograd.grad(computation(name, reference)(*given).square().sum(), tensors)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["linear", "layer_norm", "log_mixture", "apply relu"])
def test_torchs_own_checks_of_an_op_pass(name: str) -> None:
    for rows in (0, 3):
        torch.library.opcheck(computation(name, op), calls(rows, 4, 3)[name])


def test_they_compile_and_map() -> None:
    for name, arguments in calls(3, 4, 2).items():
        compiled = torch.compile(computation(name), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(*arguments), computation(name)(*arguments)), name
        torch.compiler.reset()
    x, weight, bias = calls(6, 4, 2)["linear"]
    mapped = torch.vmap(dense.linear, in_dims=(0, None, None))(x.view(2, 3, 4), weight, bias)
    assert torch.equal(mapped.view(6, 2), dense.linear(x, weight, bias))
