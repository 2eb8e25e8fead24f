"""The registered CUDA kernels on a real GPU; without one these are skipped (test_cuda_shim.py runs the same source)."""

from __future__ import annotations

import pytest
import torch

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
