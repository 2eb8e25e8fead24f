"""The evolution of task networks: the compiled op against the reference, the reference against torch's modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zoo.kernels import nca
from zoo.kernels.nca import evolve
from zoo.kernels.nca import op as module
from zoo.kernels.nca.reference import RuleSpec, apply_rule, evolve_reference, existing, perceive

MIXED = ((4, 10, 3), (4, 3), (1, 1, 5, 2), (7, 1))
Architectures = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Case:
    architectures: Architectures
    spec: RuleSpec
    epochs: int = 2
    fraction: float = 0.8


def spec_of(channels: int, signals: int = 0, layers: tuple[int, ...] = (10, 10), **options: Any) -> RuleSpec:
    return RuleSpec((3 * channels + signals, *layers, channels), scale=0.5, **options)


CASES = {
    "one weight": Case(((1, 1),), spec_of(1, layers=()), 1),
    "a single row": Case(((1, 6),), spec_of(2, layers=(3,)), 3),
    "a single column": Case(((6, 1),), spec_of(2, layers=(3,)), 3),
    "nca-iris": Case(((4, 3),) * 8, spec_of(5, norm=True), 3),
    "depths and widths mixed": Case(MIXED, spec_of(12, layers=(32, 32), norm=True)),
    "sums, relu, sigmoid": Case(MIXED, spec_of(3, layers=(5,), hidden="relu", pooling="sum", change="sigmoid"), 3),
    "linear and normalised": Case(MIXED, spec_of(4, layers=(6,), norm=True, change="linear"), 2),
    "signals": Case(MIXED, spec_of(3, 4, (16, 16)), 1),
    "signals, normalised, a layer": Case(MIXED, spec_of(17, 2, (), norm=True), 3),
    "more channels than lanes": Case(((3, 4, 2), (2, 2)), spec_of(33, layers=(7,)), 2),
    "nothing fire_mask": Case(MIXED, spec_of(3), 2, fraction=0.0),
    "everything fire_mask": Case(MIXED, spec_of(3, norm=True), 2, fraction=1.0),
    "more than a block": Case(((16, 30, 10),) * 3, spec_of(5, layers=(12, 8), norm=True), 3),
}


@dataclass(frozen=True)
class Given:
    """Arguments of the op, with values in missing weights as well."""

    state: Tensor
    signals: Tensor | None
    fire_mask: Tensor
    units: Tensor
    parameters: Tensor
    spec: RuleSpec

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.state, self.signals, self.fire_mask, self.units, self.parameters, self.spec

    @property
    def differentiable(self) -> list[Tensor]:
        return [t for t in (self.state, self.signals, self.parameters) if t is not None]


def units_of(architectures: Architectures) -> Tensor:
    layers = max(map(len, architectures)) - 1
    return torch.tensor([[*units, *[0] * (layers + 1 - len(units))] for units in architectures])


def given_by(case: Case, dtype: torch.dtype = torch.float64, seed: int = 0) -> Given:
    noise = torch.Generator().manual_seed(seed)
    units, spec = units_of(case.architectures), case.spec
    rows, columns = int(units[:, :-1].max()), int(units[:, 1:].max())
    places = (len(units), units.shape[1] - 1, rows, columns)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=noise, dtype=torch.float64).to(dtype).requires_grad_()

    fire_mask = torch.rand(case.epochs, *places, generator=noise) < case.fraction
    signals = normal(*places, spec.signals) if spec.signals else None
    parameters = (normal(spec.parameters).detach() * 0.4).requires_grad_()
    return Given(normal(*places, spec.channels), signals, fire_mask, units, parameters, spec)


def moved(problem: Given, device: torch.device) -> Given:
    """A copy with its own leaves."""

    def move(tensor: Tensor) -> Tensor:
        return tensor.detach().to(device).requires_grad_(tensor.requires_grad)

    signals = None if problem.signals is None else move(problem.signals)
    return Given(
        move(problem.state),
        signals,
        move(problem.fire_mask),
        move(problem.units),
        move(problem.parameters),
        problem.spec,
    )


def results(run: Any, problem: Given) -> list[Tensor]:
    """Output and every gradient."""
    out = run(*problem.arguments)
    noise = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, problem.differentiable, noise)]


def assert_close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        scale = float(1 + b.abs().max()) if b.numel() else 1.0
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("isa", "threads")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_output_and_every_gradient_equal_the_reference(name: str, dtype: torch.dtype, tolerance: float) -> None:
    problem = given_by(CASES[name], dtype)
    assert_close(results(evolve, problem), results(evolve_reference, problem), tolerance)


@pytest.mark.usefixtures("isa", "threads")
def test_networks_spread_over_threads_evolve_as_in_the_reference() -> None:
    case = Case(((16, 40, 10), (2, 3), (30, 30), (1, 1), (16, 20, 10)), spec_of(5, layers=(16, 16), norm=True), 3)
    problem = given_by(case)
    assert_close(results(evolve, problem), results(evolve_reference, problem), 1e-11)


@settings(deadline=None, max_examples=30)
@given(
    architectures=st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=5), min_size=1, max_size=5),
    channels=st.integers(1, 20),
    signals=st.integers(0, 4),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    epochs=st.integers(0, 3),
    pooling=st.sampled_from(["mean", "sum"]),
    norm=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_population_and_rule_equal_the_reference(
    architectures: list[list[int]], channels: int, signals: int, hidden: list[int], epochs: int, pooling: Any,
    norm: bool, seed: int,
) -> None:  # fmt: skip
    spec = spec_of(channels, signals, tuple(hidden), pooling=pooling, norm=norm, change="linear")
    problem = given_by(Case(tuple(map(tuple, architectures)), spec, epochs), seed=seed)
    # A LayerNorm of nearly equal numbers magnifies the last bits.
    assert_close(results(evolve, problem), results_of_reference(problem), 1e-9)


def results_of_reference(problem: Given) -> list[Tensor]:
    """Like ``results``; without epochs nothing depends on signals and parameters."""
    out = evolve_reference(*problem.arguments) + 0 * sum(t.sum() for t in problem.differentiable)
    noise = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, problem.differentiable, noise)]


@pytest.mark.parametrize("hidden", ["silu", "relu"])
@pytest.mark.parametrize("change", ["tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("norm", [True, False])
def test_the_references_rule_equals_a_chain_of_torch_modules(hidden: Any, change: Any, norm: bool) -> None:
    torch.manual_seed(0)
    spec = RuleSpec((11, 7, 5, 3), hidden, change, 0.3, norm=norm)
    layers = [nn.Linear(n, m) for n, m in pairwise(spec.widths)]
    between = {
        "silu": nn.SiLU(),
        "relu": nn.ReLU(),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "linear": nn.Identity(),
    }
    first = [nn.LayerNorm(11)] if norm else []
    mlp = nn.Sequential(
        *first, layers[0], between[hidden], layers[1], between[hidden], layers[2], between[change]
    ).double()
    parameters = torch.cat([p.detach().flatten() for p in mlp.parameters()])
    x = torch.randn(20, 11, dtype=torch.float64)
    assert len(parameters) == spec.parameters
    torch.testing.assert_close(apply_rule(x, parameters, spec), 0.3 * mlp(x))


def test_a_weight_alone_in_its_row_and_column_perceives_no_neighbours() -> None:
    state = torch.randn(1, 1, 1, 1, 3)
    perceived = perceive(state, torch.tensor([[1, 1]]), "mean")
    assert torch.equal(perceived[..., :3], state)
    assert not perceived[..., 3:].any()


def test_missing_weights_pass_through_and_influence_nothing() -> None:
    problem = given_by(CASES["signals"])
    mask = existing(problem.units, *problem.state.shape[2:4])[..., None]
    for run in (evolve, evolve_reference):
        spoiled, signals = (torch.where(mask, t, torch.nan) for t in (problem.state, problem.signals))
        out = run(spoiled, signals, *problem.arguments[2:])
        assert out[~mask.expand_as(out)].isnan().all()
        torch.testing.assert_close(out[mask.expand_as(out)], run(*problem.arguments)[mask.expand_as(out)])
        grad = torch.autograd.grad(out[mask.expand_as(out)].sum(), problem.differentiable)
        assert all(t.isfinite().all() for t in grad)


@pytest.mark.usefixtures("threads")
def test_the_same_call_gives_the_same_bits() -> None:
    problem = given_by(Case(((16, 40, 10),) * 5, spec_of(5, layers=(16, 16), norm=True), 3), torch.float32)
    first = results(evolve, problem)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(results(evolve, problem), first, strict=True))


@pytest.mark.parametrize("epochs", [1, 2])
def test_gradcheck_in_float64(epochs: int) -> None:
    case = Case(((2, 3, 2), (2, 1)), spec_of(2, 1, (4,), norm=True), epochs)
    problem = given_by(case)

    def run(state: Tensor, signals: Tensor, parameters: Tensor) -> Tensor:
        return evolve(state, signals, problem.fire_mask, problem.units, parameters, problem.spec)

    assert torch.autograd.gradcheck(run, problem.differentiable)


def op_arguments(problem: Given, keep: bool) -> tuple[Any, ...]:
    spec = problem.spec
    rule = (list(spec.widths), spec.hidden, spec.change, spec.scale, spec.pooling, spec.norm, spec.norm_eps)
    return problem.state, problem.signals, problem.fire_mask, problem.units.int(), problem.parameters, *rule, keep


@pytest.mark.parametrize("name", ["signals", "nca-iris"])
def test_opcheck(name: str) -> None:
    problem = given_by(CASES[name], torch.float32)
    arguments = op_arguments(problem, True)
    torch.library.opcheck(torch.ops.zoo.nca_evolve, arguments, test_utils=("test_schema", "test_faketensor"))
    # What is saved has room to spare, which stays as it was: only outputs and gradients can be compared.
    torch.library.opcheck(torch.ops.zoo.nca_evolve, arguments, test_utils=("test_autograd_registration",))
    saved = torch.ops.zoo.nca_evolve(*arguments)[1].detach()
    state, *tensors = (t.detach() if isinstance(t, Tensor) else t for t in arguments[:5])
    for need_signals in {False, problem.signals is not None}:
        torch.library.opcheck(
            torch.ops.zoo.nca_evolve_backward,
            (saved, *tensors, torch.randn_like(state), *arguments[5:-1], need_signals),
            test_utils=("test_schema", "test_faketensor"),
        )


def test_it_compiles_without_graph_breaks_forward_and_backward() -> None:
    problem = given_by(CASES["signals"], torch.float32)

    def run(state: Tensor, signals: Tensor, parameters: Tensor) -> Tensor:
        return evolve(state, signals, problem.fire_mask, problem.units, parameters, problem.spec).tanh()

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    out, wanted = compiled(*problem.differentiable), run(*problem.differentiable)
    torch.testing.assert_close(out, wanted)
    for a, b in zip(*(torch.autograd.grad(o.sum(), problem.differentiable) for o in (out, wanted)), strict=True):
        torch.testing.assert_close(a, b)


def test_nothing_is_saved_when_no_gradient_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    op = module._evolve

    def spy(*args: Any) -> Any:
        asked.append(args[-1])
        return op(*args)

    monkeypatch.setattr(module, "_evolve", spy)
    problem = given_by(CASES["nca-iris"])
    evolve(*problem.arguments)
    with torch.no_grad():
        evolve(*problem.arguments)
    detached = given_by(CASES["nca-iris"])
    evolve(
        detached.state.detach(), None, detached.fire_mask, detached.units, detached.parameters.detach(), detached.spec
    )
    assert asked == [True, False, False]
    assert torch.ops.zoo.nca_evolve(*op_arguments(problem, False))[1].numel() == 0


def test_an_unneeded_gradient_of_signals_is_not_computed() -> None:
    problem = given_by(CASES["signals"])
    arguments = op_arguments(problem, True)
    saved = torch.ops.zoo.nca_evolve(*arguments)[1]
    grads = torch.ops.zoo.nca_evolve_backward(
        saved, *arguments[1:5], torch.randn_like(problem.state), *arguments[5:-1], False
    )
    assert grads[1].numel() == 0


def test_non_contiguous_inputs_and_gradients_are_accepted() -> None:
    problem = given_by(CASES["depths and widths mixed"])
    turned = problem.state.detach().transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()
    fire_mask = problem.fire_mask.transpose(0, 1).contiguous().transpose(0, 1)
    again = replace(problem, state=turned, fire_mask=fire_mask)
    assert not turned.is_contiguous()
    out, wanted = evolve(*again.arguments), evolve(*problem.arguments)
    torch.testing.assert_close(out, wanted)
    grads = [torch.autograd.grad(o[..., 0].sum(), p.differentiable) for o, p in ((out, again), (wanted, problem))]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_an_empty_population_is_accepted() -> None:
    problem = given_by(CASES["nca-iris"])
    none = problem.state[:0].detach().requires_grad_()
    out = evolve(none, None, problem.fire_mask[:, :0], problem.units[:0], problem.parameters, problem.spec)
    grads = torch.autograd.grad(out.sum(), (none, problem.parameters))
    assert out.shape == none.shape
    assert not grads[1].any()


def test_under_autocast_it_stays_in_float32() -> None:
    problem = given_by(CASES["nca-iris"], torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = evolve(*problem.arguments)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, evolve(*problem.arguments))


def test_the_environment_forces_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_KERNELS", "reference")
    monkeypatch.setattr(module, "_evolve", None)
    problem = given_by(CASES["nca-iris"])
    torch.testing.assert_close(evolve(*problem.arguments), evolve_reference(*problem.arguments))


def test_devices_without_a_compiled_body_use_the_reference() -> None:
    assert nca._is_built("cpu")
    assert not nca._is_built("mps")


def changed(**changes: Any) -> tuple[Any, ...]:
    return replace(given_by(Case(((2, 3),), spec_of(2, 1, (4,)), 1), torch.float32), **changes).arguments


GOOD = given_by(Case(((2, 3),), spec_of(2, 1, (4,)), 1), torch.float32)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"state": torch.zeros(1, 2, 3, 2)}, ValueError, r"state should be \[P, L, N, M, 2\], found \[1, 2, 3, 2\]"),
        ({"state": torch.zeros(1, 1, 2, 3, 3)}, ValueError, r"state should be .* found \[1, 1, 2, 3, 3\]"),
        ({"signals": None}, ValueError, r"signals should be \[1, 1, 2, 3, 1\], found None"),
        ({"signals": torch.zeros(1, 1, 2, 3, 2)}, ValueError, r"signals should be .* found \[1, 1, 2, 3, 2\]"),
        ({"spec": spec_of(2, 0, (4,))}, ValueError, r"signals should be None, found \[1, 1, 2, 3, 1\]"),
        ({"fire_mask": torch.ones(1, 1, 1, 2, 3)}, ValueError, r"bool \[T, 1, 1, 2, 3\], found torch.float32"),
        ({"fire_mask": torch.ones(1, 1, 2, 3).bool()}, ValueError, r"bool \[T, 1, 1, 2, 3\], found torch.bool"),
        ({"units": torch.zeros(1, 3).int()}, ValueError, r"integers \[1, 2\], found torch.int32 \[1, 3\]"),
        ({"units": torch.zeros(1, 2)}, ValueError, r"units should be integers \[1, 2\], found torch.float32"),
        ({"parameters": torch.zeros(3)}, ValueError, r"parameters should be \[42\], found \[3\]"),
        ({"parameters": torch.zeros(42).double()}, TypeError, "parameters are torch.float64, state is torch.float32"),
        ({"parameters": torch.zeros(42, device="meta")}, ValueError, "parameters are on meta, state is on cpu"),
        ({"state": torch.zeros(1, 1, 2, 3, 2).half()}, TypeError, "float32 or float64, found torch.float16"),
        ({"units": torch.tensor([[2, 4]])}, ValueError, "units holds 4 for layer 1 of network 0, .* room for 0 to 3"),
        ({"units": torch.tensor([[-1, 3]])}, ValueError, "units holds -1 for layer 0 of network 0, .* room for 0 to 2"),
        ({"spec": replace(GOOD.spec, hidden="gelu")}, ValueError, "hidden should be one of .*, found 'gelu'"),
        ({"spec": replace(GOOD.spec, change="relu")}, ValueError, "change should be one of .*, found 'relu'"),
        ({"spec": replace(GOOD.spec, pooling="max")}, ValueError, "pooling should be one of mean, sum, found 'max'"),
        ({"spec": RuleSpec((5, 2))}, ValueError, r"at least three times the last, found \[5, 2\]"),
        ({"spec": RuleSpec((6, *[3] * 9, 2))}, ValueError, "widths should be 2 to 10 positive numbers"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evolve(*changed(**changes))
