"""Measures what changes the bits of results: the table of docs/reliability.md.

    python -m tests.support.determinism

prints the table. Every row is a computation, every column a change around it. "same bits" is exact equality, forward
and, for kernels, all gradients; "last bits" is equality within 1e-3 of the largest number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

import sdk
from sdk.backends import BACKENDS
from tests.support.paths import ROOT
from zoo.kernels import runtime
from zoo.kernels.gridnet import gridnet_evolve, gridnet_step
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import RuleSpec
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure
from zoo.kernels.sparse_network import Network, sparse_network

Results = list[Tensor]
Row = Callable[[slice], Results]
"""Computes a slice of a row's batch: the output first, then gradients."""

COLUMNS = ("again", "another process", "threads", "instruction set", "batch")
SAME, NEAR, NONE = "same bits", "last bits", "—"
GRID = (8, 8, 8)
MODELS = ("gridnet-digits", "cellnet-digits", "normnet-digits", "snapshots-digits", "nca-iris")


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_gradients(function: Callable[..., Tensor], x: Tensor, *parameters: Tensor) -> Results:
    leaves = [tensor.clone().requires_grad_() for tensor in (x, *parameters)]
    out = function(*leaves)
    loss = (out * numbers(*out.shape[1:], seed=9)).sum()
    return [out.detach(), *torch.autograd.grad(loss, leaves)]


def gridnet(batch: int, outer: int | None, part: slice) -> Results:
    sets = () if outer is None else (1,)
    step = (numbers(*sets, 27, *GRID, scale=0.1), numbers(*sets, *GRID), numbers(*sets, *GRID))
    x = numbers(batch, *GRID, seed=1)[part]
    if outer is None:
        return with_gradients(lambda x, *p: gridnet_step(*p, x), x, *step)
    return with_gradients(lambda x, *p: gridnet_evolve(*p, x, outer), x, *step, torch.ones(GRID), torch.zeros(GRID))


def nca(part: slice) -> Results:
    spec = RuleSpec((6, 16, 2))
    state, fires = numbers(8, 2, 12, 12, 2)[part], torch.ones(5, 8, 2, 12, 12, dtype=torch.bool)[:, part]
    units = torch.full((8, 3), 12, dtype=torch.int32)[part]
    function = lambda x, p: evolve(x, None, fires, units, p, spec)  # noqa: E731
    return with_gradients(function, state, numbers(spec.parameters, seed=2, scale=0.3))


def sparse(part: slice) -> Results:
    rows, columns = (numbers(64, 96, seed=3) > 1.3).nonzero(as_tuple=True)
    structure = Structure.of(64, 96, rows, columns)
    x = numbers(70, 96)[part]
    return with_gradients(lambda x, v: sparse_linear(x, v, structure), x, numbers(structure.entries, seed=4))


def network(part: slice) -> Results:
    layer_of = torch.repeat_interleave(torch.arange(3), torch.tensor([96, 40, 8]))
    possible = torch.where(layer_of[:, None] < layer_of[None, :], numbers(144, 144, seed=3), torch.zeros(()))
    source, target = (possible > 0.5).nonzero(as_tuple=True)
    where = Network.of(96, (40, 8), source, target, torch.arange(len(source)))
    tensors = numbers(len(source), seed=4, scale=0.1), numbers(48, seed=5)
    return with_gradients(lambda x, w, b: sparse_network(x, w, b, where, "tanh"), numbers(200, 96)[part], *tensors)


def model(name: str, backend: str, part: slice) -> Results:
    threads = None if backend == "torch" else torch.get_num_threads()
    loaded = sdk.load(name, backend=backend, threads=threads)
    x = np.random.default_rng(0).random((64, *loaded.input_spec.shape), dtype=np.float32)[part]
    return [torch.from_numpy(loaded._runner.logits(x))]


ROWS: dict[str, Row] = {
    "kernel: gridnet, one step": partial(gridnet, 20, None),
    "kernel: gridnet evolution, batch of 4": partial(gridnet, 4, 3),
    "kernel: gridnet evolution, batch of 200": partial(gridnet, 200, 3),
    "kernel: nca evolution": nca,
    "kernel: sparse linear": sparse,
    "kernel: network of units": network,
    **{
        f"{backend}: {name}": partial(model, name, backend)
        for backend in ("native", "torch", "onnx")
        for name in MODELS
        if name.startswith(BACKENDS[backend].families or "")
    },
}


def whole(row: str) -> Results:
    return ROWS[row](slice(None))


def with_threads(row: str, count: int) -> Results:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return whole(row)
    finally:
        torch.set_num_threads(before)


def with_isa(row: str, isa: str) -> Results:
    kernels = runtime.compiled()
    before = kernels.current_isa()
    kernels.set_isa(isa)
    try:
        return whole(row)
    finally:
        kernels.set_isa(before)


def in_halves(row: str) -> Results:
    """Compute the batch as its first sample and the rest; only outputs and gradients per sample can be compared."""
    first, rest = ROWS[row](slice(0, 1)), ROWS[row](slice(1, None))
    return [torch.cat([a, b]) for a, b in list(zip(first, rest, strict=True))[:2]]


def in_another_process(rows: list[str]) -> dict[str, Results]:
    command = [sys.executable, "-m", "tests.support.determinism", json.dumps([rows, torch.get_num_threads()])]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
    found = json.loads(done.stdout)
    return {row: [torch.tensor(bits, dtype=torch.int32).view(torch.float32) for bits in found[row]] for row in rows}


def grade(found: Results, wanted: Results) -> str:
    """Return SAME or NEAR, else "other"."""
    pairs = [(a.flatten(), b.flatten()) for a, b in zip(found, wanted, strict=False)]
    if all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in pairs):
        return SAME
    return NEAR if all(bool((a - b).abs().max() <= 1e-3 * b.abs().max()) for a, b in pairs) else "other"


def worst(grades: list[str]) -> str:
    return max(grades, key=(SAME, NEAR, "other").index) if grades else NONE


def measure(rows: list[str]) -> dict[str, dict[str, str]]:
    """Return the grade of every cell."""
    elsewhere, table = in_another_process(rows), {}
    for row in rows:
        wanted, ours = whole(row), not row.startswith("onnx")
        isas = runtime.compiled().usable_isas() if ours else []
        table[row] = {
            "again": grade(whole(row), wanted),
            "another process": grade(elsewhere[row], wanted),
            "threads": worst([grade(with_threads(row, count), wanted) for count in (1, 2, 3, 4)]),
            "instruction set": worst([grade(with_isa(row, isa), wanted) for isa in isas]),
            "batch": grade(in_halves(row), wanted),
        }
    return table


def to_markdown(table: dict[str, dict[str, str]]) -> str:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {row} | " + " | ".join(cells[column] for column in COLUMNS) + " |" for row, cells in table.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chosen, threads = json.loads(sys.argv[1])
        torch.set_num_threads(threads)
        bits = {row: [r.contiguous().view(torch.int32).flatten().tolist() for r in whole(row)] for row in chosen}
        print(json.dumps(bits))
    else:
        torch.set_num_threads(2)
        print(to_markdown(measure(list(ROWS))))
