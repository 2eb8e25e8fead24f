"""The CUDA kernels of Meta-NCA's evolution: their source on the CPU through the host shim, and on a real GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.csrc.test_cuda_shim import SANITIZERS, run_program
from tests.support.gridnet_cuda import SUPPORT, KernelError, compile_with_shim
from tests.support.nca_cuda import NcaCuda, shim_sources
from tests.zoo.kernels.nca.test_op import (
    CASES,
    MIXED,
    Architectures,
    Case,
    Given,
    assert_close,
    given_by,
    moved,
    results,
    spec_of,
)
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import evolve_reference, existing

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
"""Largest error relative to the largest value of a tensor."""
POPULATIONS = {
    "one layer": ((4, 3),),
    "a lone weight": ((1, 1),),
    "a single row": ((1, 7),),
    "a single column": ((7, 1),),
    "different depths": ((4, 5, 3), (2, 3), (3, 2, 5, 4)),
    "lone weights between": ((3, 1, 1, 2), (1, 1)),
    "several chunks of weights": ((13, 31), (30, 5)),
}


@pytest.fixture(scope="session")
def nca(tmp_path_factory: pytest.TempPathFactory) -> NcaCuda:
    sources = [*shim_sources(), SUPPORT / "nca_cuda_api.cpp"]
    library = tmp_path_factory.mktemp("nca_shim") / "nca.so"
    return NcaCuda(compile_with_shim(library, sources, ["-O1", "-fPIC", "-shared"]))


def check(nca: NcaCuda, case: Case, dtype: torch.dtype = torch.float64) -> None:
    """Output in inference and training, and every gradient, against autograd through the reference."""
    problem = given_by(case, dtype)
    wanted = results(evolve_reference, problem)
    with torch.no_grad():
        inferred = nca.evolve(*problem.arguments)
    assert_close([inferred, *results(nca.evolve, problem)], [wanted[0], *wanted], TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_states_and_every_gradient_equal_the_reference(nca: NcaCuda, name: str, dtype: torch.dtype) -> None:
    check(nca, CASES[name], dtype)


@pytest.mark.parametrize("signals", [0, 4])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("population", POPULATIONS)
def test_every_kind_of_perception_is_right_in_any_population(
    nca: NcaCuda, population: str, pooling: str, norm: bool, signals: int
) -> None:
    spec = spec_of(3, signals, (5, 4), pooling=pooling, norm=norm)
    for epochs in (1, 2, 3):
        check(nca, Case(POPULATIONS[population], spec, epochs, 0.7))


@pytest.mark.parametrize("change", ["linear", "tanh", "sigmoid"])
@pytest.mark.parametrize("hidden", ["silu", "relu"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_every_activation_and_change_is_right_in_either_dtype(
    nca: NcaCuda, dtype: torch.dtype, hidden: str, change: str
) -> None:
    check(nca, Case(MIXED, spec_of(3, 2, (5, 4), hidden=hidden, change=change, norm=True)), dtype)


@pytest.mark.parametrize("layers", [(), (1,), (7,), (32, 32), (3, 9, 2, 8, 5, 4, 6, 1)], ids=str)
def test_a_rule_of_any_depth_and_width_is_right(nca: NcaCuda, layers: tuple[int, ...]) -> None:
    for norm in (False, True):
        check(nca, Case(((4, 5, 3),), spec_of(5, layers=layers, norm=norm)))


def test_a_cta_takes_many_chunks_of_a_large_population(nca: NcaCuda) -> None:
    check(nca, Case(((3, 2, 2),) * 300, spec_of(1, layers=(2,))))


def test_a_population_without_weights_has_zero_parameter_gradients(nca: NcaCuda) -> None:
    problem = given_by(Case(((3, 2),), spec_of(2)))
    empty = replace(problem, state=problem.state[..., :0, :0, :], fire_mask=problem.fire_mask[..., :0, :0].contiguous())
    out = nca.evolve(*empty.arguments)
    assert not torch.autograd.grad(out.sum(), problem.parameters)[0].any()


def test_an_unneeded_gradient_of_signals_is_left_out(nca: NcaCuda) -> None:
    problem = given_by(CASES["signals"])
    assert problem.signals is not None
    without = replace(problem, signals=problem.signals.detach())
    leaves = (problem.state, problem.parameters)
    found, wanted = (
        list(torch.autograd.grad(run(*without.arguments).square().sum(), leaves))
        for run in (nca.evolve, evolve_reference)
    )
    assert_close(found, wanted, TOLERANCE[torch.float64])


SMALL = ((12, 11, 3), (2, 9))
"""Layers whose epochs run in one launch; :data:`LARGE` ones have launches for every epoch."""
LARGE = ((20, 16, 3), (2, 9))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("architectures", [SMALL, LARGE], ids=["one launch", "launches for every epoch"])
def test_the_order_of_threads_makes_no_difference(
    nca: NcaCuda, architectures: Architectures, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = given_by(Case(architectures, spec_of(3, 2, (9, 6), norm=True), 3), torch.float32)
    in_order = results(nca.evolve, problem)
    monkeypatch.setenv("CUDASHIM_SEED", str(seed))
    for first, second in zip(in_order, results(nca.evolve, problem), strict=True):
        assert torch.equal(first, second)


def test_one_launch_gives_the_bits_of_launches_for_every_epoch(nca: NcaCuda) -> None:
    large = given_by(Case((*SMALL, (20, 16)), spec_of(3, 2, (9, 6), norm=True), 3), torch.float32)
    networks, rows, columns = len(SMALL), 12, 11
    small = replace(
        large,
        state=_part(large.state, networks, rows, columns),
        signals=_part(large.signals, networks, rows, columns),
        fire_mask=large.fire_mask[:, :networks, :, :rows, :columns].contiguous(),
        units=large.units[:networks],
    )
    alone, beside = _states_and_gradients(nca, small), _states_and_gradients(nca, large)
    exists = existing(small.units, rows, columns)
    for first, second in zip(alone, beside, strict=True):
        assert torch.equal(first[exists], second[:networks, :, :rows, :columns][exists])


def _states_and_gradients(nca: NcaCuda, problem: Given) -> list[torch.Tensor]:
    """The states of the networks, and the gradients of their first states and signals: no sum over networks."""
    assert problem.signals is not None
    out = nca.evolve(*problem.arguments)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), (problem.state, problem.signals))]


def _part(tensor: torch.Tensor | None, networks: int, rows: int, columns: int) -> torch.Tensor:
    assert tensor is not None
    return tensor.detach()[:networks, :, :rows, :columns].clone().requires_grad_()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case(((2, 2),), spec_of(2), epochs=0), "epochs is 0, must be at least 1"),
        (Case(((2, 2),), spec_of(2, layers=(2,) * 9)), "number of layers is 10, must be 1 to 9"),
    ],
)
def test_an_unsupported_problem_is_a_one_line_error(nca: NcaCuda, case: Case, message: str) -> None:
    problem = given_by(case)
    with pytest.raises(KernelError, match=message):
        nca.evolve(*problem.arguments)


def test_a_dtype_that_is_not_built_is_an_error(nca: NcaCuda) -> None:
    with pytest.raises(KernelError, match="dtype 3 is not built into the Meta-NCA kernels"):
        nca.evolve(*given_by(CASES["nca-iris"], torch.bfloat16).arguments)


def test_a_rule_too_wide_for_shared_memory_is_an_error_that_names_it(
    nca: NcaCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = given_by(Case(((2, 2),), spec_of(3, layers=(100, 150))), torch.float32)
    out = nca.evolve(*problem.arguments)
    monkeypatch.setenv("CUDASHIM_SHARED_BYTES", "30000")
    with pytest.raises(KernelError, match=r"widths 9-100-150-3 needs 32000 bytes .* this device allows 30000"):
        nca.evolve(*problem.arguments)
    with pytest.raises(KernelError, match=r"widths 9-100-150-3 needs \d+ bytes .* hidden layers narrower"):
        torch.autograd.grad(out.sum(), problem.parameters)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_every_kernel_runs_clean_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    sources = [*shim_sources(), SUPPORT / "nca_cuda_driver.cpp"]
    program = compile_with_shim(tmp_path / "driver", sources, SANITIZERS[sanitizer])
    done = run_program(program)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "30 passes ran" in done.stdout


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu_the_op_and_its_gradients_equal_the_reference(
    gpu: torch.device, name: str, dtype: torch.dtype
) -> None:
    problem = moved(given_by(CASES[name], dtype), gpu)
    with torch.no_grad():
        inferred = evolve(*problem.arguments)
    wanted = results(evolve_reference, problem)
    assert_close([inferred, *results(evolve, problem)], [wanted[0], *wanted], 10 * TOLERANCE[dtype])


@pytest.mark.cuda
def test_on_a_gpu_the_same_call_gives_the_same_bits(gpu: torch.device) -> None:
    problem = moved(given_by(CASES["more than a block"], torch.float32), gpu)
    for first, second in zip(results(evolve, problem), results(evolve, problem), strict=True):
        assert torch.equal(first, second)
