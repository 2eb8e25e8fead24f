"""The gridnet kernels against their plain-torch specification."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support import paths
from zoo.kernels import gridnet, runtime
from zoo.kernels.gridnet import reference

GOLDEN = np.load(paths.GOLDEN / "gridnet_step.npz")
ISAS = runtime.compiled().usable_isas()


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Case:
    """One call: sizes, options, and whether it is a step (outer None) or an evolution."""

    grid: tuple[int, int, int]
    block: int
    batch: int = 2
    inner: int = 1
    normalize: bool = False
    gated: bool = False
    activation: str = "silu"
    outer: int | None = None
    separate: bool = False
    residual: bool = False
    recompute: int = 1

    def tensors(self, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        sets = () if self.outer is None else (self.outer if self.separate else 1,)
        channels = (2,) if self.gated else ()
        shapes = [(*sets, 27, *channels, *self.grid), (*sets, *channels, *self.grid)]
        if not self.gated:
            shapes.append((*sets, *self.grid))
        if self.outer is not None:
            shapes += [self.grid, self.grid]
        shapes.append((self.batch, *self.grid))
        tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        tensors[0] *= 0.3
        return [tensor.to(dtype).requires_grad_() for tensor in tensors]

    def run(self, module: object, tensors: list[Tensor]) -> Tensor:
        """Call the kernels (``zoo.kernels.gridnet``) or their reference with the same arguments."""
        kind = "gridnet_step" if self.outer is None else "gridnet_evolve"
        function = getattr(module, f"gated_{kind}" if self.gated else kind)
        options: list[object] = [] if self.outer is None else [self.outer]
        options += [self.inner, self.block]
        if not self.gated:
            options += [1e-5, self.normalize]
        options.append(self.activation)
        if self.outer is not None:
            options += [1e-5, self.residual]
            if module is gridnet:
                options.append(self.recompute)
        out: Tensor = function(*tensors, *options)
        return out


def poison_scratch() -> None:
    """Fill the kernels' scratch memory with NaN, so that a read before a write shows."""
    for k in (1, 4, 5):
        tensors = Case((9, 1, k), 1, outer=2).tensors(torch.float32)
        tensors[-1].detach().fill_(torch.nan)
        torch.autograd.grad(Case((9, 1, k), 1, outer=2).run(gridnet, tensors).sum(), tensors)


CASES = [
    Case((3, 1, 1), 1, batch=6, outer=2),
    Case((4, 6, 2), 2, batch=5),
    Case((3, 3, 6), 3, batch=3, activation="relu"),
    Case((5, 5, 5), 5, batch=1, inner=3, activation="leaky_relu"),
    Case((6, 12, 6), 6, batch=2, inner=2, normalize=True, activation="tanh"),
    Case((1, 1, 1), 1, batch=4, inner=2),
    Case((2, 1, 3), 1, batch=9, inner=2, activation="tanh"),
    Case((8, 4, 12), 4, batch=70),
    Case((4, 4, 4), 4, batch=33, normalize=True, activation="relu"),
    Case((7, 5, 3), 1, batch=17),
    Case((4, 6, 2), 2, batch=5, gated=True),
    Case((3, 6, 3), 3, batch=3, inner=3, gated=True, activation="tanh"),
    Case((4, 4, 4), 4, batch=130, gated=True, activation="leaky_relu"),
    Case((4, 6, 2), 2, batch=5, outer=3),
    Case((3, 3, 6), 3, batch=3, outer=4, separate=True, activation="relu"),
    Case((5, 5, 5), 5, batch=70, outer=3, residual=True),
    Case((4, 4, 6), 2, batch=20, inner=2, outer=5, separate=True, residual=True, recompute=2),
    Case((3, 6, 3), 3, batch=1, inner=2, outer=5, recompute=3, activation="tanh"),
    Case((4, 4, 4), 4, batch=40, normalize=True, outer=3, recompute=7),
    Case((4, 4, 2), 2, batch=9, inner=3, gated=True, outer=5, separate=True, residual=True, recompute=2),
    Case((4, 4, 2), 2, batch=5, gated=True, outer=4, recompute=2),
    Case((6, 7, 5), 1, batch=65, outer=2),
    Case((2, 2, 2), 2, batch=1, outer=1, residual=True),
    Case((13, 2, 5), 1, batch=20, outer=3),
    Case((11, 1, 3), 1, batch=35, gated=True, outer=4, residual=True, recompute=3),
    Case((2, 2, 300), 1, batch=3, outer=2),
    Case((4, 3, 5), 1, batch=12, outer=5),
    Case((3, 4, 2), 1, batch=6, gated=True, outer=4, residual=True),
    Case((5, 2, 3), 1, batch=3, outer=7, residual=True, recompute=3, activation="tanh"),
    Case((2, 70, 70), 1, batch=11, outer=3, recompute=2),
    Case((3, 40, 90), 1, batch=10, gated=True, outer=2, separate=True),
    Case((6, 3, 9), 3, batch=5, normalize=True),
    Case((4, 2, 6), 2, batch=37, normalize=True, outer=4, residual=True, recompute=2),
    Case((3, 2, 4), 1, batch=20, normalize=True, outer=3, separate=True, activation="tanh"),
    Case((5, 10, 5), 5, batch=70, normalize=True, outer=2, activation="leaky_relu"),
    Case((4, 4, 8), 4, batch=9, inner=2, normalize=True, outer=3, residual=True),
]


def compare(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    tensors = case.tensors(dtype)
    poison_scratch()
    out, expected = case.run(gridnet, tensors), case.run(reference, tensors)
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    found = torch.autograd.grad(out, tensors, grad)
    wanted = torch.autograd.grad(expected, tensors, grad)
    for a, b in zip(found, wanted, strict=True):
        scale = float(1 + b.abs().max())
        torch.testing.assert_close(a / scale, b / scale, rtol=tolerance, atol=tolerance)


def compare_inference(case: Case) -> None:
    """Batches around half of every instruction set's lanes, where the kernels change their layout."""
    for batch in (1, 2, 3, 5, 8, 9):
        tensors = [tensor.detach() for tensor in replace(case, batch=batch).tensors(torch.float64)]
        poison_scratch()
        torch.testing.assert_close(case.run(gridnet, tensors), case.run(reference, tensors), rtol=1e-10, atol=1e-10)
        poison_scratch()
        single = [tensor.float() for tensor in tensors]
        torch.testing.assert_close(case.run(gridnet, single), case.run(reference, single), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_output_and_every_gradient_equal_the_reference_in_float64(case: Case) -> None:
    compare(case, torch.float64, 1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("isa")
def test_output_and_every_gradient_are_near_the_reference_in_float32(case: Case) -> None:
    compare(case, torch.float32, 2e-4)


@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.usefixtures("isa")
def test_blocks_whose_mean_dwarfs_their_spread_are_standardised_accurately(inner: int) -> None:
    case = Case((9, 9, 9), 3, inner=inner, normalize=True)
    *parameters, noise = case.tensors(torch.float32)
    tensors = [*parameters, (noise.detach() + 1000).requires_grad_()]
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    change, wanted_change = case.run(gridnet, tensors) - tensors[-1], case.run(reference, exact) - exact[-1]
    torch.testing.assert_close(change.double(), wanted_change, rtol=5e-3, atol=5e-3)
    found = torch.autograd.grad(change.square().sum(), tensors)
    wanted = torch.autograd.grad(wanted_change.square().sum(), exact)
    for a, b in zip(found, wanted, strict=True):
        scale = float(b.abs().max())
        torch.testing.assert_close(a.double() / scale, b / scale, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("value", [0.0, 0.5, 0.3, -0.4242])
@pytest.mark.usefixtures("isa")
def test_a_constant_block_standardises_to_zeros_even_if_its_mean_is_inexact(value: float) -> None:
    case = Case((9, 9, 9), 3, normalize=True)
    core = (slice(None), *[slice(3, 6)] * 3)  # the one block whose shell holds nothing from outside the grid
    *parameters, x = case.tensors(torch.float32)
    tensors = [*parameters, torch.full_like(x, value).requires_grad_()]
    exact = [
        *(tensor.detach().double().requires_grad_() for tensor in parameters),
        torch.zeros_like(x, dtype=torch.float64).requires_grad_(),
    ]
    out, expected = case.run(gridnet, tensors)[core], case.run(reference, exact)[core]
    torch.testing.assert_close(out.double() - value, expected, rtol=5e-2, atol=5e-2)
    grads = zip(torch.autograd.grad(out.sum(), tensors), torch.autograd.grad(expected.sum(), exact), strict=True)
    for found, wanted in grads:
        scale = max(float(wanted.abs().max()), 1.0)
        torch.testing.assert_close(found.double() / scale, wanted / scale, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("case", [case for case in CASES if case.inner == 1 and not case.normalize], ids=str)
@pytest.mark.usefixtures("isa")
def test_small_batches_equal_the_reference_in_inference(case: Case) -> None:
    compare_inference(case)


@pytest.mark.parametrize("case", [case for case in CASES if case.outer is not None], ids=str)
@pytest.mark.parametrize("batch", [5, 33, 70])
@pytest.mark.usefixtures("isa", "threads")
def test_batches_equal_the_reference_in_inference_on_any_number_of_threads(case: Case, batch: int) -> None:
    case = replace(case, batch=batch)
    poison_scratch()
    with torch.no_grad():
        tensors = case.tensors(torch.float64)
        torch.testing.assert_close(case.run(gridnet, tensors), case.run(reference, tensors), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", [Case((3, 1, 1), 1, outer=2), Case((2, 6, 4), 2, gated=True, outer=3, residual=True)])
@pytest.mark.usefixtures("threads")
def test_threads_share_the_work_of_a_small_batch(case: Case) -> None:
    compare_inference(case)


@pytest.mark.parametrize(
    "case",
    [
        Case((4, 5, 7), 1, batch=19),
        Case((5, 70, 70), 1, batch=40),  # several tiles, whose planes threads share as they come
        Case((4, 2, 3), 1, batch=3, gated=True),
        Case((4, 5, 3), 1, batch=3, outer=4),
        Case((5, 2, 9), 1, batch=2, gated=True, outer=3, residual=True, recompute=2),
    ],
    ids=str,
)
def test_single_steps_and_small_batches_give_the_same_bits_for_any_number_of_threads(case: Case) -> None:
    tensors = case.tensors(torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            out = case.run(gridnet, tensors)
            results.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))
    torch.testing.assert_close(results[0][0], case.run(reference, tensors), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", [CASES[i] for i in (1, 4, 16, 19, 21, 26, 27, 28, -4, -3, -2)], ids=str)
@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_equals_the_reference(case: Case) -> None:
    compare(case, torch.float64, 1e-10)


@pytest.mark.parametrize("name", sorted({key.split("/")[0] for key in GOLDEN.files}))
@pytest.mark.parametrize("module", [gridnet, reference], ids=["kernels", "reference"])
@pytest.mark.usefixtures("isa")
def test_golden_vectors_are_reproduced(name: str, module: object) -> None:
    match = re.fullmatch(r"\d+_(plain|gated)_(\d+)x(\d+)x(\d+)_block(\d+)_inner(\d+)_norm(\d)_(\w+)", name)
    assert match is not None
    m, n, k, block, inner, norm = (int(match[i]) for i in range(2, 8))
    case = Case((m, n, k), block, 2, inner, bool(norm), match[1] == "gated", match[8])
    names = ["weight", "bias", *([] if case.gated else ["residual_scale"]), "x"]
    tensors = [torch.tensor(GOLDEN[f"{name}/{key}"], requires_grad=True) for key in names]
    out = case.run(module, tensors)
    torch.testing.assert_close(out, torch.tensor(GOLDEN[f"{name}/out"]), rtol=0, atol=1e-10)
    grads = torch.autograd.grad(out, tensors, torch.tensor(GOLDEN[f"{name}/grad_out"]))
    for key, grad in zip(names, grads, strict=True):
        torch.testing.assert_close(grad, torch.tensor(GOLDEN[f"{name}/grad_{key}"]), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "case",
    [
        Case((2, 2, 4), 2, inner=2, normalize=True, activation="tanh"),
        Case((2, 2, 2), 2, gated=True, activation="tanh"),
        Case((2, 3, 2), 1, outer=2, separate=True),
        Case((2, 2, 2), 2, outer=2, gated=True, residual=True, recompute=2),
    ],
    ids=str,
)
def test_gradcheck_passes(case: Case) -> None:
    assert torch.autograd.gradcheck(lambda *t: case.run(gridnet, list(t)), case.tensors(torch.float64))


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("outer", [None, 2])
def test_an_empty_batch_gives_an_empty_output_and_zero_gradients(batch: int, outer: int | None) -> None:
    case = Case((4, 4, 2), 2, batch=batch, outer=outer)
    tensors = case.tensors(torch.float32)
    out = case.run(gridnet, tensors)
    assert out.shape == (batch, 4, 4, 2)
    grads = torch.autograd.grad(out.sum(), tensors)
    assert all(torch.isfinite(grad).all() for grad in grads)
    if batch == 0:
        assert all(not grad.any() for grad in grads)


def test_non_contiguous_inputs_are_accepted() -> None:
    case = Case((4, 6, 2), 2, batch=3)
    tensors = [t.detach() for t in case.tensors(torch.float64)]
    expected = case.run(gridnet, tensors)
    strided = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in tensors]
    assert not any(t.is_contiguous() for t in strided)
    torch.testing.assert_close(case.run(gridnet, strided), expected, rtol=0, atol=0)


def test_an_expanded_gradient_is_accepted() -> None:
    case = Case((4, 4, 2), 2, outer=2)
    tensors = case.tensors(torch.float64)
    found = torch.autograd.grad(case.run(gridnet, tensors).sum(), tensors)
    wanted = torch.autograd.grad(case.run(reference, tensors).sum(), tensors)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_the_same_call_gives_the_same_bits() -> None:
    case = Case((8, 8, 4), 4, batch=50, outer=3)
    tensors = case.tensors(torch.float32)
    first, second = (torch.autograd.grad(case.run(gridnet, tensors).square().sum(), tensors) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_large_activations_do_not_overflow_to_nan(isa: str) -> None:
    case = Case((2, 2, 2), 2, activation="silu")
    tensors = [t.detach() for t in case.tensors(torch.float32)]
    tensors[1].fill_(-1e4)
    assert torch.isfinite(case.run(gridnet, tensors)).all()


def test_nan_in_the_input_reaches_the_output() -> None:
    case = Case((2, 2, 2), 2)
    tensors = [t.detach() for t in case.tensors(torch.float32)]
    tensors[-1][0, 0, 0, 0] = float("nan")
    out = case.run(gridnet, tensors)
    assert out[0].isnan().all()
    assert not out[1].isnan().any()


@pytest.mark.parametrize("case", [Case((4, 4, 2), 2), Case((2, 2, 2), 2, gated=True, outer=2)], ids=str)
def test_opcheck_passes(case: Case) -> None:
    tensors = case.tensors(torch.float32)
    recorded: list[tuple[object, ...]] = []
    op = torch.ops.zoo.gridnet_evolve.default

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func is op:
                recorded.append(args)
            return func(*args, **(kwargs or {}))

    with Recorder():
        case.run(gridnet, tensors)
    (args,) = recorded
    given = [a.detach().requires_grad_() if isinstance(a, Tensor) else a for a in args]
    torch.library.opcheck(op, tuple(given))


@pytest.mark.parametrize(
    "case", [Case((4, 4, 2), 2), Case((4, 4, 2), 2, outer=3), Case((4, 4, 2), 2, gated=True)], ids=str
)
def test_compiles_without_graph_breaks(case: Case) -> None:
    tensors = case.tensors(torch.float32)
    compiled = torch.compile(lambda *t: case.run(gridnet, list(t)), fullgraph=True, backend="aot_eager")
    out, expected = compiled(*tensors), case.run(gridnet, tensors)
    torch.testing.assert_close(out, expected)
    for a, b in zip(torch.autograd.grad(out.sum(), tensors), torch.autograd.grad(expected.sum(), tensors), strict=True):
        torch.testing.assert_close(a, b)


def test_autocast_computes_in_float32() -> None:
    case = Case((4, 4, 2), 2, outer=2)
    tensors = [t.detach() for t in case.tensors(torch.float32)]
    expected = case.run(gridnet, [*tensors[:-1], tensors[-1].bfloat16().float()])
    with torch.autocast("cpu", torch.bfloat16):
        out = case.run(gridnet, [*tensors[:-1], tensors[-1].bfloat16()])
    torch.testing.assert_close(out, expected)


def test_backward_makes_no_gradient_of_the_saved_activations() -> None:
    case = Case((4, 4, 2), 2, outer=3)
    tensors = case.tensors(torch.float32)
    out, seen = case.run(gridnet, tensors), []

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Recorder():
        torch.autograd.grad(out, tensors, torch.ones_like(out))
    assert [name for name in seen if "ones_like" not in name] == ["zoo.gridnet_evolve_backward.default"]


def _most_saved(batch: int, side: int, steps: int, recompute: int) -> int:
    """Most numbers that the CPU op saves for backward, for a cube of cells.

    They are grids with padded rows and statistics, for a batch rounded up to whole tiles. Small batches are not rounded
    up, and also save each step's sums if no step is recomputed.
    """
    lanes, grids = math.ceil(batch / 64) * 64, (steps - 1) // recompute + 1
    sums = 2 * steps if recompute == 1 else 0
    tiled = lanes * (grids * side * side * (side + 2) + 2 * steps)
    small = batch * ((grids + sums) * side**3 + 2 * (steps + 1))
    return 16 + max(tiled, small if batch < 64 else 0)


@pytest.mark.parametrize("batch", [1, 5, 48, 64])
def test_recomputing_saves_fewer_activations_within_the_stated_bound(batch: int) -> None:
    kept = {}
    for recompute in (1, 4, 12):
        case = Case((8, 8, 8), 8, batch=batch, outer=12, recompute=recompute)
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):  # noqa: B023
            case.run(gridnet, case.tensors(torch.float32))
        kept[recompute] = saved[-1]
        assert saved[-1] <= _most_saved(batch, 8, 12, recompute)
    assert kept[12] < kept[4] < kept[1]


@pytest.mark.parametrize("gated", [False, True])
def test_no_inner_steps_leave_the_grid_as_it_is_and_the_layer_norm_alone_of_an_outer_step(gated: bool) -> None:
    x, channels = torch.randn(2, 4, 4, 4, requires_grad=True), (2,) if gated else ()
    parameters = [torch.randn(1, 27, *channels, 4, 4, 4), torch.randn(1, *channels, 4, 4, 4)]
    parameters += [] if gated else [torch.randn(1, 4, 4, 4)]
    step, evolve = (
        (gridnet.gated_gridnet_step, gridnet.gated_gridnet_evolve)
        if gated
        else (gridnet.gridnet_step, gridnet.gridnet_evolve)
    )
    out = step(*(p[0] for p in parameters), x, inner_steps=0, block=2)
    assert torch.equal(out, x)
    assert torch.equal(torch.autograd.grad(out.sum(), x)[0], torch.ones_like(x))
    norm = torch.rand(4, 4, 4), torch.randn(4, 4, 4)
    evolved = evolve(*parameters, *norm, x, outer_steps=2, inner_steps=0, block=2)
    expected = x
    for _ in range(2):
        expected = torch.nn.functional.layer_norm(expected, (4, 4, 4), *norm)
    torch.testing.assert_close(evolved, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 4, 4)}, r"x must be \[B, M, N, K\], found shape \[2, 4, 4\]"),
        ({"x": torch.zeros(2, 4, 4, 4, dtype=torch.int64)}, "x must be a floating-point tensor, found torch.int64"),
        ({"x": torch.zeros(2, 4, 4, 4, dtype=torch.float16)}, "x must be float32 or float64 on the CPU"),
        ({"weight": torch.zeros(26, 4, 4, 4)}, r"weight must have shape \[27, 4, 4, 4\] to fit x, found \[26"),
        ({"bias": torch.zeros(4, 4, 4, dtype=torch.float64)}, "bias must have x's dtype torch.float32"),
        ({"residual_scale": torch.zeros(4, 4)}, "residual_scale must have shape"),
        ({"bias": torch.zeros(4, 4, 4, device="meta")}, "bias must be on x's device cpu, found meta"),
        ({"block": 3}, r"block must be a positive divisor of every axis of the grid \[4, 4, 4\], found 3"),
        ({"block": 0}, "block must be a positive divisor"),
        ({"inner_steps": -1}, "inner_steps must be at least 0, found -1"),
        ({"eps": 0.0}, "eps must be greater than 0"),
        ({"activation": "gelu"}, "activation must be one of silu, relu, leaky_relu, tanh, found 'gelu'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(change: dict[str, object], message: str) -> None:
    arguments = {
        "weight": torch.zeros(27, 4, 4, 4),
        "bias": torch.zeros(4, 4, 4),
        "residual_scale": torch.zeros(4, 4, 4),
        "x": torch.zeros(2, 4, 4, 4),
        "block": 4,
    }
    with pytest.raises((ValueError, TypeError), match=message):
        gridnet.gridnet_step(**{**arguments, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outer_steps": 0}, "outer_steps must be at least 1"),
        ({"recompute": 0}, "recompute must be at least 1"),
        ({"outer_steps": 5}, "weight must have 1 or outer_steps = 5 parameter sets, found 3"),
        ({"norm_eps": -1.0}, "norm_eps must be greater than 0"),
        ({"norm_bias": torch.zeros(4)}, "norm_bias must have shape"),
    ],
)
def test_a_wrong_argument_of_the_evolution_is_named(change: dict[str, object], message: str) -> None:
    grid = (4, 4, 4)
    arguments = {
        "weight": torch.zeros(3, 27, *grid),
        "bias": torch.zeros(3, *grid),
        "residual_scale": torch.zeros(3, *grid),
        "norm_weight": torch.zeros(grid),
        "norm_bias": torch.zeros(grid),
        "x": torch.zeros(2, *grid),
        "outer_steps": 3,
    }
    with pytest.raises(ValueError, match=message):
        gridnet.gridnet_evolve(**{**arguments, "block": 4, **change})  # type: ignore[arg-type]


def test_the_environment_can_force_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((4, 4, 2), 2)
    tensors = [t.detach() for t in case.tensors(torch.float32)]
    monkeypatch.setattr(runtime, "compiled", lambda: pytest.fail("the compiled kernels were asked for"))
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    torch.testing.assert_close(case.run(gridnet, tensors), case.run(reference, tensors), rtol=0, atol=0)
    monkeypatch.setenv("ZOO_KERNELS", "fast")
    with pytest.raises(ValueError, match="ZOO_KERNELS='fast' is not a kernel mode; allowed: compiled, reference"):
        case.run(gridnet, tensors)


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown or unusable instruction set 'mmx'; this machine has: .*baseline"):
        runtime.compiled().set_isa("mmx")


def test_gradients_need_the_instruction_set_of_the_forward_pass() -> None:
    if len(ISAS) < 2:
        pytest.skip("this machine has one instruction set only")
    case = Case((4, 4, 2), 2, batch=64, outer=3)
    tensors = case.tensors(torch.float32)
    before = runtime.compiled().current_isa()
    try:
        runtime.compiled().set_isa(ISAS[0])
        out = case.run(gridnet, tensors)
        runtime.compiled().set_isa(ISAS[-1])
        with pytest.raises(ValueError, match="the forward pass ran with another instruction set"):
            out.sum().backward()
    finally:
        runtime.compiled().set_isa(before)
