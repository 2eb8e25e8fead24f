"""The CUDA kernels of Meta-NCA's evolution, run on the CPU through the host shim, against plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.kernels.test_cuda_shim import SANITIZERS, run_program
from tests.support.gridnet_cuda import SUPPORT, KernelError, compile_with_shim
from tests.support.nca_cuda import CHANGES, HIDDEN, Case, NcaCuda, reference, shim_sources

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}
"""Largest error relative to the largest value of a tensor."""
POPULATIONS = {
    "one network of one layer": Case([[4, 3]]),
    "a lone weight": Case([[1, 1]]),
    "a single row": Case([[1, 7]]),
    "a single column": Case([[7, 1]]),
    "layers of different depth": Case([[4, 5, 3], [2, 3], [3, 2, 5, 4]]),
    "lone weights between": Case([[3, 1, 1, 2], [1, 1]], channels=2),
    "several chunks of weights": Case([[13, 31], [30, 5]], channels=1, hidden=(3,)),
}


@pytest.fixture(scope="session")
def nca(tmp_path_factory: pytest.TempPathFactory) -> NcaCuda:
    sources = [*shim_sources(), SUPPORT / "nca_cuda_api.cpp"]
    library = tmp_path_factory.mktemp("nca_shim") / "nca.so"
    return NcaCuda(compile_with_shim(library, sources, ["-O1", "-fPIC", "-shared"]))


def assert_equal(found: Sequence[Tensor | None], wanted: Sequence[Tensor]) -> None:
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a is not None
        assert a.shape == b.shape
        if a.numel():
            error = (a - b).abs().max() / (1 + b.abs().max())
            assert error <= TOLERANCE[a.dtype], f"tensor {i} of {len(wanted)} is off by {error:.2e}"


def check(nca: NcaCuda, case: Case, dtype: torch.dtype = torch.float64) -> None:
    """Output in inference and training, and every gradient, against autograd through the reference."""
    tensors, fires = case.tensors(dtype), case.fires()
    leaves = [t.clone().requires_grad_() for t in tensors]
    wanted = reference(case, fires, *leaves)
    grad_out = torch.randn_like(wanted)
    gradients = torch.autograd.grad(wanted, leaves, grad_out, materialize_grads=True)
    inferred = nca.infer(case, tensors, fires)
    out, kept = nca.forward(case, tensors, fires)
    found = nca.backward(case, tensors, fires, kept, grad_out)
    assert_equal([inferred, out, *found], [wanted, wanted, *gradients])
    without = nca.backward(case, tensors, fires, kept, grad_out, signals=False)
    assert_equal([without[0], without[2]], [gradients[0], gradients[2]])


@pytest.mark.parametrize("signals", [0, 4])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize("case", POPULATIONS.values(), ids=POPULATIONS)
def test_states_and_every_gradient_equal_the_reference(
    nca: NcaCuda, case: Case, mean: bool, norm: bool, signals: int
) -> None:
    for epochs in (1, 2, 3):
        check(nca, replace(case, mean=mean, norm=norm, signals=signals, epochs=epochs))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_every_activation_and_change_is_right_in_either_dtype(
    nca: NcaCuda, dtype: torch.dtype, activation: str, change: str
) -> None:
    case = replace(POPULATIONS["layers of different depth"], activation=activation, change=change)
    check(nca, replace(case, norm=True, signals=2), dtype)


@pytest.mark.parametrize("hidden", [(), (1,), (7,), (32, 32), (3, 9, 2, 8, 5, 4, 6, 1)], ids=str)
def test_a_rule_of_any_depth_and_width_is_right(nca: NcaCuda, hidden: tuple[int, ...]) -> None:
    for norm in (False, True):
        check(nca, Case([[4, 5, 3]], channels=5, hidden=hidden, norm=norm))


@pytest.mark.parametrize("fraction", [0.0, 1.0], ids=["none", "all"])
def test_it_is_right_when_none_or_all_of_the_weights_fire(nca: NcaCuda, fraction: float) -> None:
    check(nca, Case([[4, 5, 3], [2, 3]], fraction=fraction, norm=True, signals=2))


def test_a_cta_takes_many_chunks_of_a_large_population(nca: NcaCuda) -> None:
    check(nca, Case([[3, 2, 2]] * 300, channels=1, hidden=(2,), epochs=2))


def test_a_population_of_none_has_parameter_gradients_of_zero(nca: NcaCuda) -> None:
    case = Case([[3, 2]])
    states, signals, parameters = case.tensors(torch.float64)
    empty = replace(case, networks=[[0, 0]])
    tensors, fires = [states[:, :, :0], signals[:, :, :0], parameters], case.fires()[..., :0, :0]
    _, kept = nca.forward(empty, tensors, fires)
    grads = nca.backward(empty, tensors, fires, kept, tensors[0])
    assert grads[2] is not None
    assert grads[2].eq(0).all()


def run_both_ways(nca: NcaCuda, case: Case) -> list[Tensor]:
    tensors, fires = case.tensors(torch.float32), case.fires()
    out, kept = nca.forward(case, tensors, fires)
    grads = nca.backward(case, tensors, fires, kept, torch.ones_like(out))
    return [out, *(g for g in grads if g is not None)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_threads_makes_no_difference(nca: NcaCuda, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case([[12, 11, 3], [2, 9]], signals=2, norm=True, epochs=3)
    in_order = run_both_ways(nca, case)
    monkeypatch.setenv("CUDASHIM_SEED", str(seed))
    for first, second in zip(in_order, run_both_ways(nca, case), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case([[2, 2]], epochs=0), "epochs is 0, must be at least 1"),
        (Case([[2, 2]], hidden=(2,) * 9), "number of layers is 10, must be 1 to 9"),
    ],
)
def test_what_the_kernels_cannot_do_is_one_line(nca: NcaCuda, case: Case, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        nca.infer(case, case.tensors(torch.float32), case.fires())


def test_a_dtype_that_is_not_built_is_an_error(nca: NcaCuda) -> None:
    case = Case([[2, 2]])
    with pytest.raises(KernelError, match="dtype 3 is not built into the Meta-NCA kernels"):
        nca.infer(case, case.tensors(torch.bfloat16), case.fires())


def test_a_rule_too_wide_for_shared_memory_is_an_error_that_names_it(
    nca: NcaCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case([[2, 2]], hidden=(100, 150))
    tensors, fires = case.tensors(torch.float32), case.fires()
    out, kept = nca.forward(case, tensors, fires)
    monkeypatch.setenv("CUDASHIM_SHARED_BYTES", "30000")
    with pytest.raises(KernelError, match=r"widths 9-100-150-3 needs 32000 bytes .* this device allows 30000"):
        nca.infer(case, tensors, fires)
    with pytest.raises(KernelError, match=r"widths 9-100-150-3 needs \d+ bytes .* hidden layers narrower"):
        nca.backward(case, tensors, fires, kept, out)


def test_training_keeps_the_states_before_every_epoch(nca: NcaCuda) -> None:
    case = Case([[4, 3], [2, 2]], epochs=4)
    tensors = case.tensors(torch.float64)
    _, kept = nca.forward(case, tensors, case.fires())
    for epoch, states in enumerate(kept.view(torch.float64).view(4, *tensors[0].shape)):
        wanted = reference(case, case.fires()[:epoch], *tensors)
        exists = case.mask[..., None].expand_as(states)
        torch.testing.assert_close(states[exists], wanted[exists], rtol=1e-11, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_every_kernel_runs_clean_under_a_sanitizer(sanitizer: str, tmp_path: Path) -> None:
    sources = [*shim_sources(), SUPPORT / "nca_cuda_driver.cpp"]
    program = compile_with_shim(tmp_path / "driver", sources, SANITIZERS[sanitizer])
    done = run_program(program)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "24 passes ran" in done.stdout
