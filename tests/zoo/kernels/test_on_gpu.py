"""Every registered op on a GPU: gradients in all dtypes, streams, graphs, autocast, compilation, memory.

Without a GPU these are skipped. Those that need nothing of CUDA alone also run on the CPU, so that they cannot rot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.support.gpu_passes import SPARSE, sparse_structure
from tests.zoo.kernels.gridnet import test_op as of_gridnet
from tests.zoo.kernels.nca import test_op as of_nca
from zoo.kernels import gridnet
from zoo.kernels.gridnet import reference as gridnet_reference
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import evolve_reference
from zoo.kernels.sparse_linear.reference import sparse_linear_reference

F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
TOLERANCE = {F64: 1e-9, F32: 5e-4, F16: 5e-2, BF16: 2e-1}
"""Largest error relative to 1 plus the largest value: half tensors are rounded in every step."""
ON_BOTH = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
Call = Callable[..., Tensor]


@dataclass(frozen=True)
class Op:
    """A call of an op on leaves that require gradients, and its specification in plain torch."""

    name: str
    leaves: list[Tensor]
    run: Call
    reference: Call

    def fresh(self) -> list[Tensor]:
        return [leaf.detach().clone().requires_grad_() for leaf in self.leaves]


def gridnet_op(case: of_gridnet.Case, dtype: torch.dtype, device: torch.device) -> Op:
    leaves = [t.detach().to(device) for t in case.tensors(dtype)]
    return Op("gridnet", leaves, lambda *t: case.run(gridnet, list(t)), lambda *t: case.run(gridnet_reference, list(t)))


def nca_op(case: of_nca.Case, dtype: torch.dtype, device: torch.device) -> Op:
    given = of_nca.moved(of_nca.given_by(case, dtype), device)
    fire_mask, spec, signals = given.fire_mask, given.spec, given.signals is not None
    units = given.units.int()  # other dtypes are converted, and then checked, in every call

    def bind(function: Call) -> Call:
        def call(state: Tensor, *rest: Tensor) -> Tensor:
            return function(state, rest[0] if signals else None, fire_mask, units, rest[-1], spec)

        return call

    return Op("nca", [t.detach() for t in given.differentiable], bind(evolve), bind(evolve_reference))


def sparse_op(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> Op:
    batch, inputs, outputs, entries = shape
    where, noise = sparse_structure(outputs, inputs, entries, device), torch.Generator().manual_seed(0)
    leaves = [torch.randn(size, generator=noise).to(device, dtype) for size in ((batch, inputs), (entries,))]
    return Op(
        "sparse",
        leaves,
        lambda x, values: torch.ops.zoo.sparse_linear(x, values, *where.pattern),
        lambda x, values: sparse_linear_reference(x, values, where),
    )


GRIDNET = of_gridnet.Case((8, 8, 8), 4, batch=33, outer=3)
BLOCKS = of_gridnet.Case((6, 12, 6), 6, batch=5, inner=2, normalize=True, outer=2)
GATED = of_gridnet.Case((4, 8, 4), 4, batch=9, gated=True, outer=2)
OPS: dict[str, Callable[[torch.dtype, torch.device], Op]] = {
    "gridnet": lambda dtype, device: gridnet_op(GRIDNET, dtype, device),
    "gridnet in blocks": lambda dtype, device: gridnet_op(BLOCKS, dtype, device),
    "gated gridnet": lambda dtype, device: gridnet_op(GATED, dtype, device),
    "nca": lambda dtype, device: nca_op(of_nca.CASES["depths and widths mixed"], dtype, device),
    "nca with signals": lambda dtype, device: nca_op(of_nca.CASES["signals"], dtype, device),
    "sparse": lambda dtype, device: sparse_op(SPARSE[-1], dtype, device),
}
HALF = ("gridnet", "gridnet in blocks", "gated gridnet")
"""The ops that take half tensors on CUDA."""


def device_of(name: str, request: pytest.FixtureRequest) -> torch.device:
    device: torch.device = request.getfixturevalue("gpu") if name == "cuda" else torch.device("cpu")
    return device


@pytest.fixture(params=OPS)
def make(request: pytest.FixtureRequest) -> Callable[[torch.dtype, torch.device], Op]:
    return OPS[request.param]


@pytest.fixture
def on_gpu(gpu: torch.device, make: Callable[[torch.dtype, torch.device], Op]) -> Op:
    return make(F32, gpu)


def results(call: Call, leaves: list[Tensor]) -> list[Tensor]:
    """The output and every gradient, for a gradient of the output that is the same on every device."""
    out = call(*leaves)
    noise = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    return [out.detach(), *torch.autograd.grad(out, leaves, noise)]


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        if b.numel():
            scale = 1 + float(b.abs().max())
            assert float((a.double() - b.double()).abs().max()) / scale <= tolerance


def assert_same(found: list[Tensor], wanted: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_output_and_every_gradient_equal_the_reference(
    make: Callable[[torch.dtype, torch.device], Op], dtype: torch.dtype, device: str, request: pytest.FixtureRequest
) -> None:
    op = make(dtype, device_of(device, request))
    assert_close(results(op.run, op.fresh()), results(op.reference, op.fresh()), TOLERANCE[dtype])


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", HALF)
def test_half_tensors_are_near_the_reference_in_float32(name: str, dtype: torch.dtype, gpu: torch.device) -> None:
    op = OPS[name](dtype, gpu)
    leaves = [leaf.detach().float().requires_grad_() for leaf in op.leaves]
    assert_close(results(op.run, op.fresh()), results(op.reference, leaves), TOLERANCE[dtype])


@pytest.mark.cuda
@pytest.mark.parametrize("case", of_gridnet.CASES, ids=str)
@pytest.mark.parametrize("dtype", [F64, F32, F16, BF16], ids=str)
def test_gridnet_is_right_in_odd_shapes(case: of_gridnet.Case, dtype: torch.dtype, gpu: torch.device) -> None:
    op = gridnet_op(case, dtype, gpu)
    exact = [leaf.detach().to(max(dtype, F32, key=lambda t: t.itemsize)).requires_grad_() for leaf in op.leaves]
    assert_close(results(op.run, op.fresh()), results(op.reference, exact), TOLERANCE[dtype])


@pytest.mark.cuda
@pytest.mark.parametrize("shape", SPARSE, ids=str)
@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_sparse_products_are_right_in_odd_shapes(
    shape: tuple[int, int, int, int], dtype: torch.dtype, gpu: torch.device
) -> None:
    op = sparse_op(shape, dtype, gpu)
    assert_close(results(op.run, op.fresh()), results(op.reference, op.fresh()), TOLERANCE[dtype])


@pytest.mark.parametrize("device", ON_BOTH)
def test_the_same_call_gives_the_same_bits(
    make: Callable[[torch.dtype, torch.device], Op], device: str, request: pytest.FixtureRequest
) -> None:
    op = make(F32, device_of(device, request))
    first = results(op.run, op.fresh())
    for _ in range(3):
        assert_same(results(op.run, op.fresh()), first)


@pytest.mark.parametrize("device", ON_BOTH)
def test_tensors_of_any_strides_give_the_same_bits(
    make: Callable[[torch.dtype, torch.device], Op], device: str, request: pytest.FixtureRequest
) -> None:
    op = make(F32, device_of(device, request))
    strided = [
        leaf.mT.contiguous().mT.requires_grad_() if leaf.ndim > 1 else leaf.requires_grad_() for leaf in op.leaves
    ]
    assert_same(results(op.run, strided), results(op.run, op.fresh()))


@pytest.mark.parametrize("device", ON_BOTH)
def test_tensors_that_start_anywhere_in_memory_give_the_same_bits(
    make: Callable[[torch.dtype, torch.device], Op], device: str, request: pytest.FixtureRequest
) -> None:
    op = make(F32, device_of(device, request))
    assert_same(
        results(op.run, [moved_by_one(leaf).requires_grad_() for leaf in op.leaves]), results(op.run, op.fresh())
    )


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", HALF)
def test_half_tensors_that_start_anywhere_in_memory_give_the_same_bits(
    name: str, dtype: torch.dtype, gpu: torch.device
) -> None:
    op = OPS[name](dtype, gpu)
    assert_same(
        results(op.run, [moved_by_one(leaf).requires_grad_() for leaf in op.leaves]), results(op.run, op.fresh())
    )


@pytest.mark.parametrize("device", ON_BOTH)
def test_what_is_saved_for_backward_may_come_back_anywhere_in_memory(
    make: Callable[[torch.dtype, torch.device], Op], device: str, request: pytest.FixtureRequest
) -> None:
    op = make(F32, device_of(device, request))
    with torch.autograd.graph.saved_tensors_hooks(moved_by_one, lambda tensor: tensor):  # as those that offload
        found = results(op.run, op.fresh())
    assert_same(found, results(op.run, op.fresh()))


def moved_by_one(tensor: Tensor) -> Tensor:
    """A copy that starts one element into its memory, where wider loads are not aligned."""
    return torch.cat([tensor.new_zeros(1), tensor.detach().flatten()])[1:].view(tensor.shape)


@pytest.mark.parametrize("device", ON_BOTH)
@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
def test_under_autocast_the_op_computes_in_float32(
    make: Callable[[torch.dtype, torch.device], Op], dtype: torch.dtype, device: str, request: pytest.FixtureRequest
) -> None:
    place = device_of(device, request)
    op = make(F32, place)
    rounded = [op.leaves[0].to(dtype), *op.leaves[1:]]
    with torch.autocast(place.type, dtype):
        found = op.run(*rounded)
    assert found.dtype == F32
    assert torch.equal(found, op.run(*[leaf.float() for leaf in rounded]))


@pytest.mark.cuda
def test_any_stream_gives_the_same_bits(on_gpu: Op) -> None:
    wanted = results(on_gpu.run, on_gpu.fresh())
    for _ in range(3):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(10_000_000)  # what is queued on another stream would overtake this one
            leaves = [(leaf * 1).detach().requires_grad_() for leaf in on_gpu.leaves]
            found = results(on_gpu.run, leaves)
        stream.synchronize()
        assert_same(found, wanted)


@pytest.mark.cuda
def test_two_streams_at_once_do_not_share_memory(on_gpu: Op) -> None:
    wanted = results(on_gpu.run, on_gpu.fresh())
    streams = [torch.cuda.Stream() for _ in range(2)]
    found = []
    for stream in streams:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found.append([results(on_gpu.run, on_gpu.fresh()) for _ in range(5)])
    torch.cuda.synchronize()
    for each in (*found[0], *found[1]):
        assert_same(each, wanted)


@pytest.mark.cuda
def test_a_second_device_gives_the_same_bits_while_the_first_is_current(
    gpu: torch.device, make: Callable[[torch.dtype, torch.device], Op]
) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one CUDA device")
    assert torch.cuda.current_device() == 0
    first, second = (make(F32, torch.device("cuda", number)) for number in range(2))
    if torch.cuda.get_device_name(0) != torch.cuda.get_device_name(1):
        pytest.skip("the devices differ")
    found = results(second.run, second.fresh())
    assert {tensor.device.index for tensor in found} == {1}
    assert_same([t.cpu() for t in found], [t.cpu() for t in results(first.run, first.fresh())])


@pytest.mark.cuda
def test_a_cuda_graph_replays_forward_and_backward(on_gpu: Op) -> None:
    leaves = on_gpu.fresh()
    grad = torch.randn_like(on_gpu.run(*leaves))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # as torch's documentation asks for before a capture
        for _ in range(3):
            torch.autograd.grad(on_gpu.run(*leaves), leaves, grad)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = on_gpu.run(*leaves)
        grads = torch.autograd.grad(out, leaves, grad)
    for scale in (0.5, -1.25):
        with torch.no_grad():
            for leaf, start in zip(leaves, on_gpu.leaves, strict=True):
                leaf.copy_(scale * start)
        graph.replay()
        torch.cuda.synchronize()
        again = [leaf.detach().clone().requires_grad_() for leaf in leaves]
        wanted = on_gpu.run(*again)
        assert_same([out, *grads], [wanted, *torch.autograd.grad(wanted, again, grad)])


@pytest.mark.cuda
def test_a_compiled_graph_calls_the_op_without_a_break(on_gpu: Op) -> None:
    torch.compiler.reset()

    def around(*leaves: Tensor) -> Tensor:
        return on_gpu.run(*[leaf * 2 for leaf in leaves]).sin()

    found = results(torch.compile(around, fullgraph=True), on_gpu.fresh())
    assert_close(found, results(around, on_gpu.fresh()), TOLERANCE[F32])


@pytest.mark.cuda
def test_the_op_never_waits_for_the_device(on_gpu: Op) -> None:
    leaves = on_gpu.fresh()
    grad = torch.randn_like(on_gpu.run(*leaves))  # the first call checks the contents of index tensors, which waits
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.autograd.grad(on_gpu.run(*leaves), leaves, grad)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def little_memory(gpu: torch.device) -> Iterator[None]:
    """64 MB of device memory beyond what is reserved."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64 * 2**20) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.cuda
@pytest.mark.usefixtures("little_memory")
def test_too_little_memory_is_an_error_after_which_the_op_works(gpu: torch.device) -> None:
    case = of_gridnet.Case((16, 16, 16), 8, batch=1, outer=2)
    leaves = [t.detach().to(gpu).requires_grad_() for t in case.tensors(F32)]
    many = [*leaves[:-1], torch.zeros(1, 16, 16, 16, device=gpu).expand(3000, -1, -1, -1)]  # 49 MB per state
    with pytest.raises(torch.OutOfMemoryError):
        case.run(gridnet, many)
    wanted = case.run(gridnet_reference, leaves)
    assert_close([case.run(gridnet, leaves).detach()], [wanted.detach()], TOLERANCE[F32])


@pytest.mark.cuda
def test_a_block_beyond_shared_memory_is_an_error_of_one_line_after_which_the_op_works(gpu: torch.device) -> None:
    case = of_gridnet.Case((48, 48, 48), 48, batch=1, inner=2)
    tensors = [t.detach().to(gpu) for t in case.tensors(F32)]
    with pytest.raises(RuntimeError, match="block") as caught:
        case.run(gridnet, tensors)
    assert "\n" not in str(caught.value).strip()
    assert bool(OPS["gridnet"](F32, gpu).run(*OPS["gridnet"](F32, gpu).leaves).isfinite().all())


@pytest.mark.cuda
def test_an_empty_batch_gives_an_empty_result_and_zero_gradients(gpu: torch.device) -> None:
    leaves = OPS["gridnet"](F32, gpu).fresh()
    leaves[-1] = leaves[-1].detach()[:0].requires_grad_()
    out = OPS["gridnet"](F32, gpu).run(*leaves)
    grads = torch.autograd.grad(out.sum(), leaves)
    assert out.shape[0] == 0
    assert not any(bool(grad.any()) for grad in grads)
