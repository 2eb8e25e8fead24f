"""The registered CUDA kernels on a real GPU; without one these are skipped (test_cuda_shim.py runs the same source)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from tests.zoo.kernels.gridnet.test_op import CASES, Case
from zoo.kernels import gridnet
from zoo.kernels.gridnet import reference

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("gpu")]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)], ids=str)
def test_output_and_every_gradient_equal_the_reference(case: Case, dtype: torch.dtype, tolerance: float) -> None:
    tensors = [t.detach().cuda().requires_grad_() for t in case.tensors(dtype)]
    out, expected = case.run(gridnet, tensors), case.run(reference, tensors)
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    grad = torch.randn_like(out)
    found, wanted = (torch.autograd.grad(o, tensors, grad) for o in (out, expected))
    for a, b in zip(found, wanted, strict=True):
        scale = float(1 + b.abs().max())
        torch.testing.assert_close(a / scale, b / scale, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_storage_is_near_float32(case: Case, dtype: torch.dtype) -> None:
    tensors = [t.detach().cuda().to(dtype) for t in case.tensors(torch.float32)]
    expected = case.run(gridnet, [t.float() for t in tensors])
    torch.testing.assert_close(case.run(gridnet, tensors).float(), expected, rtol=0.05, atol=0.1)


def test_gradients_are_the_same_bits_every_time() -> None:
    case = Case((16, 16, 16), 8, batch=64, outer=3)
    tensors = [t.detach().cuda().requires_grad_() for t in case.tensors(torch.float32)]
    first, second = (torch.autograd.grad(case.run(gridnet, tensors).square().sum(), tensors) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_current_stream_is_used() -> None:
    case = Case((8, 8, 8), 8, batch=32, outer=4)
    tensors = [t.detach().cuda() for t in case.tensors(torch.float32)]
    expected = case.run(gridnet, tensors)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        out = case.run(gridnet, tensors)
    stream.synchronize()
    assert torch.equal(out, expected)


ONE_LAUNCH = {
    "tiles": Case((32, 32, 32), 8, batch=40, outer=4),
    "gated tiles": Case((16, 16, 16), 8, batch=40, gated=True, outer=4, residual=True, recompute=2),
    "blocks": Case((16, 16, 16), 8, batch=40, inner=3, outer=4),
    "gated blocks": Case((16, 16, 16), 8, batch=40, inner=3, gated=True, outer=4),
    "standardised blocks": Case((12, 12, 12), 6, batch=40, normalize=True, outer=4, residual=True),
    "blocks of many cells": Case((18, 18, 18), 9, batch=40, inner=2, outer=4),
}
"""Evolutions whose CTAs a large GPU holds all at once."""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", ONE_LAUNCH.values(), ids=ONE_LAUNCH)
def test_all_steps_in_one_launch_give_the_bits_of_a_launch_per_step(case: Case, dtype: torch.dtype) -> None:
    tensors = [t.detach().cuda() for t in case.tensors(dtype)]
    of_step = 2 if case.gated else 3
    # Steps with parameters of their own, if only equal ones, are launches of their own.
    apart = [t.expand(4, *t.shape[1:]) if i < of_step else t for i, t in enumerate(tensors)]
    found, wanted = (_output_and_gradient_of_x(case, given) for given in (tensors, apart))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def _output_and_gradient_of_x(case: Case, tensors: list[Tensor]) -> tuple[Tensor, Tensor]:
    x = tensors[-1].detach().clone().requires_grad_()
    out = case.run(gridnet, [*tensors[:-1], x])
    return out.detach(), torch.autograd.grad(out, x, torch.ones_like(out))[0]


@pytest.mark.parametrize(
    ("side", "normalize", "backward"), [(24, False, False), (22, True, False), (22, False, True), (19, True, True)]
)
def test_the_largest_blocks_that_fit_an_h100_are_right(side: int, normalize: bool, backward: bool) -> None:
    if getattr(torch.cuda.get_device_properties(0), "shared_memory_per_block_optin", 0) < 232448:
        pytest.skip("this device has less shared memory than an H100")
    case = Case((side,) * 3, side, batch=2, inner=2, normalize=normalize)
    tensors = [t.detach().cuda().requires_grad_(backward) for t in case.tensors(torch.float32)]
    out, expected = case.run(gridnet, tensors), case.run(reference, tensors)
    torch.testing.assert_close(out, expected, rtol=2e-4, atol=2e-4)
    if backward:
        grads = (torch.autograd.grad(o, tensors, torch.ones_like(o)) for o in (out, expected))
        for a, b in zip(*grads, strict=True):
            scale = float(1 + b.abs().max())
            torch.testing.assert_close(a / scale, b / scale, rtol=2e-4, atol=2e-4)


def test_threads_that_need_different_shared_memory_launch_at_the_same_time() -> None:
    def evolve(side: int) -> None:
        case = Case((side,) * 3, side, batch=2, inner=2, outer=2)
        tensors = [t.detach().cuda() for t in case.tensors(torch.float32)]
        wanted = case.run(gridnet, tensors)
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            found = [case.run(gridnet, tensors) for _ in range(100)]
        torch.cuda.synchronize()
        assert all(torch.equal(each, wanted) for each in found)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(evolve, (20, 16, 20, 16)))


def test_an_evolution_in_one_launch_runs_beside_other_work() -> None:
    case = ONE_LAUNCH["tiles"]
    tensors = [t.detach().cuda() for t in case.tensors(torch.float32)]
    wanted = case.run(gridnet, tensors)
    busy = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(3)]
    found = []
    for _ in range(5):
        with torch.cuda.stream(streams[0]):
            busy @ busy  # fills every multiprocessor
        for stream in streams[1:]:
            with torch.cuda.stream(stream):
                found.append(case.run(gridnet, tensors))
    torch.cuda.synchronize()
    assert all(torch.equal(each, wanted) for each in found)
