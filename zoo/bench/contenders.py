"""Who is measured: the kernels on each instruction set, the reference, and shifts in torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.bench.cases import Case
from zoo.bench.shifts import Shifts
from zoo.kernels import gridnet
from zoo.kernels import runtime as backend
from zoo.kernels.gridnet import reference as gridnet_reference
from zoo.utils.errors import BenchError

REFERENCE = "reference"
EAGER = "eager shifts"
COMPILED = "compiled shifts"
TOLERANCE = 1e-3  # largest difference allowed, relative to the largest value: float32 sums in another order

Call = Callable[[], list[Tensor]]
"""Runs a case once: the result and, in training, the gradient of every argument."""


def ours(isa: str) -> str:
    """The contender's name of the compiled kernels on an instruction set."""
    return f"ours {isa}"


def choose_isas(wanted: Sequence[str]) -> list[str]:
    """The instruction sets asked for (default: all that this machine can run). Raises BenchError for another."""
    if backend.mode() != "compiled":
        raise BenchError("ZOO_KERNELS=reference is set: the compiled kernels would not run; unset it to measure them")
    usable: list[str] = backend.compiled().usable_isas()
    for isa in wanted:
        if isa not in usable:
            raise BenchError(f"instruction set {isa!r} cannot be used here; usable: {', '.join(usable)}")
    return [isa for isa in usable if not wanted or isa in wanted]


def make_calls(case: Case, names: Sequence[str]) -> tuple[dict[str, Call], dict[str, str]]:
    """A call for each contender, and for those that cannot run here the reason.

    Raises BenchError unless all compute the same, the last of ``names`` being who is right.
    """
    tensors = case.tensors()
    torch.compiler.reset()  # graphs of other cases would count towards the limit of recompilations
    calls = {name: _bind(case, _module(name), tensors) for name in names}
    skipped = {}
    if COMPILED in calls:
        try:
            calls[COMPILED]()
        except RuntimeError as error:  # of dynamo, inductor or the C++ compiler
            skipped[COMPILED] = f"torch.compile failed: {str(error).strip().splitlines()[0]}"
            del calls[COMPILED]
    check_same(case, calls)
    return calls, skipped


def make_call(case: Case, name: str) -> Call:
    """One contender's call of a case that nothing is held against."""
    return _bind(case, _module(name), case.tensors())


def check_same(case: Case, calls: dict[str, Call]) -> None:
    """Raise BenchError naming the first contender whose values differ from the last one's."""
    *others, right = calls
    expected = calls[right]()
    for name in others:
        for index, (found, value) in enumerate(zip(calls[name](), expected, strict=True)):
            gap = float((found - value).abs().max() / value.abs().max())
            if not gap <= TOLERANCE:  # NaN included
                what = "result" if index == 0 else f"gradient of argument {index - 1}"
                raise BenchError(
                    f"{case.name} at {case.setting}: the {what} of {name} is off by {gap:.2g} from that of {right} "
                    f"(of the largest value; allowed {TOLERANCE:g}), so timing it would mean nothing"
                )


class _Kernels:
    """``zoo.kernels.gridnet`` on one instruction set."""

    def __init__(self, isa: str) -> None:
        self.isa = isa

    def __getattr__(self, name: str) -> Any:
        backend.compiled().set_isa(self.isa)
        return getattr(gridnet, name)


def _module(name: str) -> Any:
    if name == REFERENCE:
        return gridnet_reference
    if name in (EAGER, COMPILED):
        return Shifts(compiled=name == COMPILED)
    return _Kernels(name.removeprefix("ours "))


def _bind(case: Case, module: Any, tensors: list[Tensor]) -> Call:
    grad_out = torch.randn(tensors[-1].shape, generator=torch.Generator().manual_seed(1))

    def call() -> list[Tensor]:
        if not case.training:
            with torch.no_grad():
                return [_forward(case, module, tensors)]
        out = _forward(case, module, tensors)
        return [out.detach(), *torch.autograd.grad(out, tensors, grad_out)]

    return call


def _forward(case: Case, module: Any, tensors: list[Tensor]) -> Tensor:
    """The case's function of a module that has the four of ``zoo.kernels.gridnet``."""
    kind = "gridnet_step" if case.outer is None else "gridnet_evolve"
    options: list[Any] = [] if case.outer is None else [case.outer]
    options += [case.inner, case.block]
    if not case.gated:
        options += [1e-5, case.normalize]
    options.append("silu")
    if case.outer is not None:
        options += [1e-5, False]
    out: Tensor = getattr(module, f"gated_{kind}" if case.gated else kind)(*tensors, *options)
    return out
