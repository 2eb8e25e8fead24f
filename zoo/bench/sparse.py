"""The sparse linear layer beside torch's own: cuSPARSE's product of a CSR matrix, and cuBLAS's dense product."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from zoo.bench.contenders import TOLERANCE
from zoo.families.snapshots.bench import random_layers
from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure
from zoo.utils.errors import BenchError
from zoo.utils.progress import Say
from zoo.utils.stats import Spread

OURS, CSR, DENSE = "ours", "CSR product (cuSPARSE)", "dense product (cuBLAS)"
_SIDES = (784, 4096)
_DENSITIES = (0.001, 0.01, 0.1)
_BATCH = 256
Timer = Callable[[Mapping[str, Callable[[], Any]]], dict[str, Spread]]


def sparse_rows(time: Timer, device: str, quick: bool, say: Say) -> list[dict[str, Any]]:
    """Return a row per square layer, density, pass and contender; raises BenchError for contenders that disagree.

    torch has no gradient for the CSR product's entries alone, so that contender computes forward only.
    """
    rows = []
    for side in (64,) if quick else _SIDES:
        for density in _DENSITIES[-1:] if quick else _DENSITIES:
            say(f"sparse layer {side} x {side}, density {density:g}")
            for training, calls in _calls(side, density, device).items():
                rows += [
                    {
                        "layer": f"{side} x {side}", "density": density, "batch": _BATCH,
                        "pass": "forward + backward" if training else "forward", "contender": name, **asdict(seconds),
                    }
                    for name, seconds in time(calls).items()
                ]  # fmt: skip
    return rows


def _calls(side: int, density: float, device: str) -> dict[bool, dict[str, Callable[[], Any]]]:
    """Return the contenders of forward (False) and of forward and backward (True)."""
    ((x, values, where),) = random_layers((side, side), density, _BATCH)
    x, values = (t.detach().to(device).requires_grad_() for t in (x, values))
    where = Structure(where.outputs, where.inputs, *(t.to(device) for t in where.pattern))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR tensors a beta
        matrix = torch.sparse_csr_tensor(where.row_starts, where.columns, values.detach(), (side, side))
    grad = torch.randn(_BATCH, side, generator=torch.Generator().manual_seed(1)).to(device)

    def ours(x: Tensor, values: Tensor) -> Tensor:
        y: Tensor = torch.ops.zoo.sparse_linear(x, values, *where.pattern)
        return y

    def dense(x: Tensor, values: Tensor) -> Tensor:
        return sparse_linear_reference(x, values, where)

    given, columns, entries, filled = x.detach(), x.detach().t().contiguous(), values.detach(), matrix.to_dense()

    def gradients(form: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(form(x, values), (x, values), grad))

    forward: dict[str, Callable[[], Any]] = {
        OURS: lambda: ours(given, entries),
        CSR: lambda: (matrix @ columns).t(),
        DENSE: lambda: given @ filled.t(),
    }
    both: dict[str, Callable[[], Any]] = {OURS: partial(gradients, ours), DENSE: partial(gradients, dense)}
    _check_same({name: [call()] for name, call in forward.items()})
    _check_same({name: call() for name, call in both.items()})
    return {False: forward, True: both}


def _check_same(results: Mapping[str, list[Tensor]]) -> None:
    expected = results[DENSE]
    for name, found in results.items():
        for a, b in zip(found, expected, strict=True):
            gap = float((a - b).abs().max() / b.abs().max())
            if not gap <= TOLERANCE:
                raise BenchError(f"sparse layer: {name} differs from {DENSE} by {gap:.2g}, allowed {TOLERANCE:g}")


def sparse_lines(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the rows as lines of a table, with the dense product's time over each one's."""
    dense = {_key(row): row["median"] for row in rows if row["contender"] == DENSE}
    return [
        {
            "layer": row["layer"], "density": f"{row['density']:g}", "pass": row["pass"],
            "contender": row["contender"], "ms": f"{1e3 * row['median']:.3g}",
            "min to max": f"{1e3 * row['low']:.3g} to {1e3 * row['high']:.3g}",
            "x dense": f"{dense[_key(row)] / row['median']:.2f}",
        }
        for row in rows
    ]  # fmt: skip


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["layer"], row["density"], row["pass"]
