"""``python -m tests.support.gpu_passes cuda``: every op forward and backward on small shapes, for compute-sanitizer.

Prints the number of passes; exits with 1 for a result that is not finite.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from tests.zoo.kernels.gridnet import test_op as gridnet_cases
from tests.zoo.kernels.nca import test_op as nca_cases
from zoo.kernels import gridnet
from zoo.kernels.nca import evolve
from zoo.kernels.sparse_linear.structure import Structure

SPARSE = ((3, 5, 4, 0), (40, 33, 17, 60), (130, 70, 40, 300))
"""Batch, inputs, outputs and entries."""


def passes(device: torch.device) -> Iterator[tuple[str, list[Tensor]]]:
    """Yield the name of each case, with its output and gradients on ``device``."""
    dtypes = [torch.float32, torch.float64]
    for case in gridnet_cases.CASES:
        for dtype in [*dtypes, torch.float16, torch.bfloat16] if device.type == "cuda" else dtypes:
            tensors = [t.detach().to(device).requires_grad_() for t in case.tensors(dtype)]
            out = case.run(gridnet, tensors)
            yield f"gridnet {case} {dtype}", [out, *torch.autograd.grad(out.sum(), tensors)]
    for name, rule in nca_cases.CASES.items():
        for dtype in dtypes:
            given = nca_cases.moved(nca_cases.given_by(rule, dtype), device)
            out = evolve(*given.arguments)
            yield f"nca {name} {dtype}", [out, *torch.autograd.grad(out.sum(), given.differentiable)]
    for batch, inputs, outputs, entries in SPARSE:
        for dtype in dtypes:
            where = sparse_structure(outputs, inputs, entries, device)
            x = torch.randn(batch, inputs, dtype=dtype, device=device, requires_grad=True)
            values = torch.randn(entries, dtype=dtype, device=device, requires_grad=True)
            out = torch.ops.zoo.sparse_linear(x, values, *where.pattern)
            yield (
                f"sparse {(batch, inputs, outputs, entries)} {dtype}",
                [
                    out,
                    *torch.autograd.grad(out.sum(), (x, values)),
                ],
            )


def sparse_structure(outputs: int, inputs: int, entries: int, device: torch.device) -> Structure:
    """Return a random structure, the same every time."""
    flat = torch.randperm(outputs * inputs, generator=torch.Generator().manual_seed(0))[:entries].sort().values
    where = Structure.of(outputs, inputs, flat // inputs, flat % inputs)
    return Structure(where.outputs, where.inputs, *(t.to(device) for t in where.pattern))


def main(device: str) -> int:
    count = 0
    for name, results in passes(torch.device(device)):
        for result in results:
            if not bool(result.isfinite().all()):
                print(f"{name}: a result is not finite")
                return 1
        count += 2
    print(f"{count} passes ran on {device}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
