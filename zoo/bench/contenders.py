"""The contenders: the kernels on each instruction set, the reference, and shifts in torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.bench.cases import Case
from zoo.bench.shifts import Shifts
from zoo.kernels import gridnet, runtime
from zoo.kernels.gridnet import reference as gridnet_reference
from zoo.utils.errors import BenchError

REFERENCE = "reference"
EAGER = "eager shifts"
COMPILED = "compiled shifts"
TOLERANCE = 1e-3  # largest difference allowed, relative to the largest value: float32 sums in another order

Call = Callable[[], list[Tensor]]
"""Runs a case once; returns the result and, in training, the gradient of every argument."""


def ours(isa: str) -> str:
    """Return the name of the compiled kernels on an instruction set, or on ``cuda``."""
    return f"ours {isa}"


def choose_isas(wanted: Sequence[str]) -> list[str]:
    """Return the wanted instruction sets (default: all usable ones); raises BenchError for an unusable one."""
    if runtime.mode() != "compiled":
        raise BenchError("ZOO_KERNELS=reference is set, so the compiled kernels cannot run; unset it to measure them")
    usable: list[str] = runtime.compiled().usable_isas()
    for isa in wanted:
        if isa not in usable:
            raise BenchError(f"instruction set {isa!r} cannot be used here; usable: {', '.join(usable)}")
    return [isa for isa in usable if not wanted or isa in wanted]


def make_calls(case: Case, names: Sequence[str], device: str = "cpu") -> tuple[dict[str, Call], dict[str, str]]:
    """Return a call for each contender that can run here, and the reason for each that cannot.

    Raises BenchError unless all calls agree with that of the last contender in ``names``.
    """
    tensors = case.tensors(device)
    torch.compiler.reset()  # or graphs of other cases count towards the recompilation limit
    calls = {name: _bind(case, _module(name), tensors) for name in names}
    skipped = {}
    for name in names if device == "cuda" else [COMPILED] if COMPILED in calls else []:
        try:
            calls[name]()
        except torch.OutOfMemoryError:
            skipped[name] = "the GPU has too little memory for it"
            del calls[name]
        except RuntimeError as error:  # from dynamo, inductor or the C++ compiler
            if name != COMPILED:
                raise
            skipped[name] = f"torch.compile failed: {str(error).strip().splitlines()[0]}"
            del calls[name]
    check_same(case, calls)
    return calls, skipped


def make_call(case: Case, name: str, device: str = "cpu") -> Call:
    """Return one contender's call, without comparing its values."""
    return _bind(case, _module(name), case.tensors(device))


def check_same(case: Case, calls: dict[str, Call]) -> None:
    """Raise BenchError for the first contender whose values differ from those of the last contender."""
    *others, right = calls
    expected = calls[right]()
    for name in others:
        for index, (found, value) in enumerate(zip(calls[name](), expected, strict=True)):
            gap = float((found - value).abs().max() / value.abs().max())
            if not gap <= TOLERANCE:  # also true for NaN
                what = "result" if index == 0 else f"gradient of argument {index - 1}"
                raise BenchError(
                    f"{case.name} at {case.setting}: the {what} of {name} differs from that of {right} by {gap:.2g} "
                    f"of its largest value, allowed {TOLERANCE:g}; timing it would be meaningless"
                )


class _Kernels:
    """``zoo.kernels.gridnet`` on one instruction set."""

    def __init__(self, isa: str) -> None:
        self.isa = isa

    def __getattr__(self, name: str) -> Any:
        runtime.compiled().set_isa(self.isa)
        return getattr(gridnet, name)


def _module(name: str) -> Any:
    """Return an object with the four functions of ``zoo.kernels.gridnet``, as the contender computes them."""
    if name == REFERENCE:
        return gridnet_reference
    if name in (EAGER, COMPILED):
        return Shifts(compiled=name == COMPILED)
    return gridnet if name == ours("cuda") else _Kernels(name.removeprefix("ours "))


def _bind(case: Case, module: Any, tensors: list[Tensor]) -> Call:
    """Return a call of the case on fixed arguments, with a fixed gradient of the result in training."""
    grad_out = torch.randn(tensors[-1].shape, generator=torch.Generator().manual_seed(1)).to(tensors[-1])

    def call() -> list[Tensor]:
        if not case.training:
            with torch.no_grad():
                return [_forward(case, module, tensors)]
        out = _forward(case, module, tensors)
        return [out.detach(), *torch.autograd.grad(out, tensors, grad_out)]

    return call


def _forward(case: Case, module: Any, tensors: list[Tensor]) -> Tensor:
    """Call the case's function in a module that has the four functions of ``zoo.kernels.gridnet``."""
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
