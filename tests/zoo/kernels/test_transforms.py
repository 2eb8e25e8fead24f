"""The ops under torch's transforms: checkpointing, vmap, functional calls, copies, export."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.kernels.gridnet import gated_gridnet_evolve, gridnet_evolve, gridnet_step
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import RuleSpec
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.sparse_network import Network, sparse_network

GRID = (2, 4, 2)
SPEC = RuleSpec((3, 5, 1))
UNITS = torch.tensor([[3, 4]], dtype=torch.int32).expand(2, 2).contiguous()
FIRES = torch.ones(3, 2, 1, 3, 4, dtype=torch.bool)
STRUCTURE = Structure.of(8, 6, torch.tensor([0, 2, 3, 5, 7]), torch.tensor([5, 1, 0, 4, 3]))
PATTERN = ("row_starts", "columns", "column_starts", "rows", "order")
NETWORK = Network.of(6, (5, 3), torch.tensor([0, 4, 5, 7, 2]), torch.tensor([6, 8, 11, 12, 13]), torch.arange(5))
NETWORK_TENSORS = ("columns", "starts", "sources", "slots")


class Op(nn.Module):
    """One op as a module with parameters."""

    def __init__(self, name: str, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.name = name
        channels = (2,) if name == "gated" else ()
        sets = () if name == "step" else (1,)
        shapes = {
            "nca": [(SPEC.parameters,)],
            "sparse": [(STRUCTURE.entries,)],
            "network": [(5,), (8,)],
        }.get(name, [(*sets, 27, *channels, *GRID), (*sets, *channels, *GRID), (*sets, *GRID), GRID, GRID])
        self.tensors = nn.ParameterList(nn.Parameter(torch.randn(shape, dtype=dtype) * 0.3) for shape in shapes)
        for tensor in PATTERN:  # the oldest torch exports no tensors but those of a module
            self.register_buffer(tensor, getattr(STRUCTURE, tensor))
        for tensor in NETWORK_TENSORS:
            self.register_buffer(f"network_{tensor}", getattr(NETWORK, tensor))

    def forward(self, x: Tensor) -> Tensor:
        t = [self.tensors[i] for i in range(len(self.tensors))]  # the oldest torch compiles no list(...)
        if self.name == "nca":
            return evolve(x, None, FIRES, UNITS, t[0], SPEC)
        if self.name == "sparse":
            pattern = {name: getattr(self, name) for name in PATTERN}
            return sparse_linear(x, t[0], Structure(STRUCTURE.outputs, STRUCTURE.inputs, **pattern))
        if self.name == "network":
            tensors = (getattr(self, f"network_{name}") for name in NETWORK_TENSORS)
            return sparse_network(x, *t, Network(6, (5, 3), *tensors), "tanh")
        if self.name == "step":
            return gridnet_step(*t[:3], x, block=2)
        if self.name == "gated":
            return gated_gridnet_evolve(t[0], t[1], t[3], t[4], x, 3, block=2)
        return gridnet_evolve(*t, x, 3, block=2)

    def inputs(self, batch: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        shape = {"nca": (2, 1, 3, 4, 1), "sparse": (batch, 6), "network": (batch, 6)}.get(self.name, (batch, *GRID))
        return torch.randn(shape, generator=generator, dtype=self.tensors[0].dtype)


OPS = ["step", "evolve", "gated", "nca", "sparse", "network"]


def gradients(op: Op, call: Callable[[Tensor], Tensor], x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    used = [p for p in op.tensors if not (op.name == "gated" and p is op.tensors[2])][: 3 if op.name == "step" else 5]
    return list(torch.autograd.grad(call(x).square().sum(), [x, *used]))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_under_checkpointing_are_the_same_bits(name: str, reentrant: bool) -> None:
    op = Op(name)
    x = op.inputs().requires_grad_()
    op(x).square().sum().backward()
    wanted = [p.grad for p in (x, *op.parameters())]
    op.zero_grad()
    again = op.inputs().requires_grad_()
    checkpoint(op, again, use_reentrant=reentrant).square().sum().backward()  # type: ignore[no-untyped-call]
    for found, expected in zip((again.grad, *(p.grad for p in op.parameters())), wanted, strict=True):
        assert (found is None) == (expected is None)
        assert found is None or torch.equal(found, expected)


@pytest.mark.parametrize("name", OPS)
def test_backward_may_run_twice_on_a_retained_graph(name: str) -> None:
    op = Op(name)
    x = op.inputs().requires_grad_()
    loss = op(x).square().sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", OPS)
def test_vmap_over_inputs_equals_a_loop(name: str) -> None:
    op = Op(name)
    stack = torch.stack([op.inputs(), -op.inputs(), op.inputs() + 1], 1)
    found = torch.vmap(op, in_dims=1)(stack)
    torch.testing.assert_close(found, torch.stack([op(x) for x in stack.unbind(1)]), rtol=0, atol=0)


@pytest.mark.parametrize("name", OPS)
def test_backward_under_vmap_gives_the_gradients_of_each_slice(name: str) -> None:
    op = Op(name)
    x = op.inputs().requires_grad_()
    y = op(x)
    weights = torch.randn(3, *y.shape, dtype=y.dtype)
    found = torch.autograd.grad(y, x, weights, is_grads_batched=True, retain_graph=True)[0]
    wanted = torch.stack([torch.autograd.grad(y, x, weight, retain_graph=True)[0] for weight in weights])
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", OPS)
def test_functional_gradients_are_refused_with_a_reason(name: str) -> None:
    op = Op(name)
    with pytest.raises(RuntimeError, match="functorch transforms"):
        torch.func.grad(lambda x: op(x).sum())(op.inputs())


@pytest.mark.parametrize("name", OPS)
def test_a_functional_call_uses_the_given_parameters(name: str) -> None:
    op, other = Op(name), Op(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    found = torch.func.functional_call(op, dict(other.named_parameters()), (op.inputs(),))
    assert torch.equal(found, other(op.inputs()))
    assert not torch.equal(found, op(op.inputs()))


@pytest.mark.parametrize("name", OPS)
def test_copies_and_pickles_compute_the_same(name: str) -> None:
    op = Op(name)
    buffer = io.BytesIO()
    torch.save(op, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(op), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(op.inputs()), op(op.inputs()))


@pytest.mark.parametrize("name", OPS)
def test_forward_mode_derivatives_are_refused_with_a_reason(name: str) -> None:
    op = Op(name)
    for trains in (True, False):
        op.requires_grad_(trains)
        with pytest.raises(NotImplementedError, match="has no forward-mode derivative"):
            torch.func.jvp(op, (op.inputs(),), (torch.ones_like(op.inputs()),))


@pytest.mark.parametrize("name", [name for name in OPS if name != "nca"])  # a population has no batch axis
@pytest.mark.parametrize("trains", [False, True])
def test_export_takes_any_batch(name: str, trains: bool) -> None:
    op = Op(name).requires_grad_(trains)
    batch = {0: torch.export.Dim("batch", min=1, max=512)}
    program = torch.export.export(op, (op.inputs(3),), dynamic_shapes=(batch,))
    for size in (1, 3, 70):
        assert torch.equal(program.module()(op.inputs(size)), op(op.inputs(size)))


@pytest.mark.parametrize("name", [name for name in OPS if name != "nca"])
@torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True)  # without it, older versions break the graph
def test_one_compiled_graph_takes_any_batch(name: str) -> None:
    op = Op(name)
    compiled = torch.compile(op, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (3, 5, 70):
        x = op.inputs(size)
        for found, wanted in zip(gradients(op, compiled, x), gradients(op, op, x), strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", OPS)
def test_meta_tensors_give_the_shapes_alone(name: str) -> None:
    op = Op(name)
    wanted = op(op.inputs())
    if name == "nca":
        found = evolve(op.inputs().to("meta"), None, FIRES.to("meta"), UNITS.to("meta"), op.tensors[0].to("meta"), SPEC)
    elif name == "sparse":
        meta = Structure(8, 6, *(tensor.to("meta") for tensor in STRUCTURE.pattern))
        found = sparse_linear(op.inputs().to("meta"), op.tensors[0].to("meta"), meta)
    else:
        found = op.to("meta")(op.inputs().to("meta"))
    assert found.is_meta
    assert found.shape == wanted.shape
    assert found.stride() == wanted.stride()


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("state", ["inference", "no_grad", "deterministic", "float64 default", "meta default"])
def test_the_state_of_torch_changes_no_result(name: str, state: str) -> None:
    op = Op(name, torch.float32)
    x = op.inputs()
    wanted = op(x).detach()
    contexts = {"inference": torch.inference_mode(), "no_grad": torch.no_grad(), "meta default": torch.device("meta")}
    default = torch.get_default_dtype()
    try:
        torch.use_deterministic_algorithms(state == "deterministic")
        if state == "float64 default":
            torch.set_default_dtype(torch.float64)
        with contexts.get(state, torch.enable_grad()):
            found = op(x)
    finally:
        torch.set_default_dtype(default)
    assert torch.equal(found, wanted)
