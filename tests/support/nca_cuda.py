"""The CUDA kernels of Meta-NCA's evolution compiled for the CPU with the host shim, callable on torch tensors.

Everything the kernels are to write starts as NaN, workspaces included, so that what they forget shows.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support.gridnet_cuda import CSRC, KernelError
from zoo.kernels.nca.reference import RuleSpec

_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 3}
"""As in csrc/core/cuda/dtype.h; bfloat16 is not built."""
_HIDDEN = ("silu", "relu")
_CHANGES = ("linear", "tanh", "sigmoid")
_MOST_WIDTHS = 10


def shim_sources() -> list[Path]:
    """The kernels, and the sum over CTAs that they share with gridnet's."""
    return [*sorted((CSRC / "nca" / "cuda").glob("*.cu")), CSRC / "core" / "cuda" / "sum_parts.cu"]


class _Population(ctypes.Structure):
    """zoo::nca::Population."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "layers", "rows", "columns", "channels", "signals")),
        ("units", ctypes.c_void_p),
    )


class _Rule(ctypes.Structure):
    """zoo::nca::Rule."""

    _fields_ = (
        ("layers", ctypes.c_int),
        ("widths", ctypes.c_int * _MOST_WIDTHS),
        ("hidden", ctypes.c_int),
        ("change", ctypes.c_int),
        ("scale", ctypes.c_double),
        ("mean", ctypes.c_bool),
        ("norm", ctypes.c_bool),
        ("norm_eps", ctypes.c_double),
    )


@dataclass(frozen=True)
class _Call:
    """The arguments of ``zoo.kernels.nca.evolve`` other than the states."""

    signals: Tensor | None
    fire_mask: Tensor
    units: Tensor
    parameters: Tensor
    spec: RuleSpec

    def structures(self, state: Tensor) -> tuple[_Population, _Rule]:
        """They point into this call."""
        s = self.spec
        population = _Population(*state.shape, s.signals, self.units.data_ptr())
        widths = (ctypes.c_int * _MOST_WIDTHS)(*s.widths[:_MOST_WIDTHS])
        hidden, change = _HIDDEN.index(s.hidden), _CHANGES.index(s.change)
        layers = len(s.widths) - 1
        return population, _Rule(layers, widths, hidden, change, s.scale, s.pooling == "mean", s.norm, s.norm_eps)


class NcaCuda:
    """The entry points of csrc/nca/cuda/api.h, as one function with gradients."""

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("forward", "backward"):
            getattr(self._lib, name).restype = ctypes.c_char_p
        for name in ("population", "rule", "forward_workspace", "backward_workspace"):
            getattr(self._lib, f"{name}_bytes").restype = ctypes.c_size_t
        assert self._lib.population_bytes() == ctypes.sizeof(_Population)
        assert self._lib.rule_bytes() == ctypes.sizeof(_Rule)

    def evolve(
        self,
        state: Tensor,
        signals: Tensor | None,
        fire_mask: Tensor,
        units: Tensor,
        parameters: Tensor,
        spec: RuleSpec,
    ) -> Tensor:
        """As ``zoo.kernels.nca.evolve``."""
        out: Tensor = _Evolve.apply(state, signals, parameters, self, fire_mask, units.int(), spec)
        return out

    def forward(self, call: _Call, state: Tensor, keep: bool) -> tuple[Tensor, Tensor | None]:
        """The states after the evolution and, with ``keep``, those before every epoch."""
        out = torch.full_like(state, torch.nan)
        kept = state.new_full((len(call.fire_mask), *state.shape), torch.nan) if keep else None
        workspace = self._workspace("forward", state, call.structures(state)[:1])
        self._run("forward", call, state, *_pointers(state, out, kept, workspace))
        return out, kept

    def backward(
        self, call: _Call, kept: Tensor, grad_out: Tensor, need_signals: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Gradients of the states, the signals and the parameters."""
        grads = torch.full_like(grad_out, torch.nan), torch.full_like(call.parameters, torch.nan)
        signals = torch.full_like(call.signals, torch.nan) if need_signals and call.signals is not None else None
        addresses = (ctypes.c_void_p * 3)(*_pointers(grads[0], signals, grads[1]))
        workspace = self._workspace("backward", grad_out, call.structures(grad_out))
        self._run("backward", call, grad_out, *_pointers(kept, grad_out), addresses, *_pointers(workspace))
        return grads[0], signals, grads[1]

    def _workspace(self, name: str, like: Tensor, structures: tuple[ctypes.Structure, ...]) -> Tensor:
        size = getattr(self._lib, f"{name}_workspace_bytes")
        count = size(_DTYPES[like.dtype], *[ctypes.byref(s) for s in structures])
        return torch.full((count,), 0xFF, dtype=torch.uint8)  # NaN as floating-point numbers of any size

    def _run(self, name: str, call: _Call, like: Tensor, *rest: object) -> None:
        population, rule = call.structures(like)
        inputs = (ctypes.c_void_p * 3)(*_pointers(call.signals, call.fire_mask, call.parameters))
        function = getattr(self._lib, name)
        dtype, epochs = _DTYPES[like.dtype], len(call.fire_mask)
        error = function(dtype, ctypes.byref(population), ctypes.byref(rule), epochs, inputs, *rest)
        if error:
            raise KernelError(error.decode())


class _Evolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        signals: Tensor | None,
        parameters: Tensor,
        kernels: NcaCuda,
        fire_mask: Tensor,
        units: Tensor,
        spec: RuleSpec,
    ) -> Tensor:
        ctx.kernels, ctx.call = kernels, _Call(signals, fire_mask, units, parameters, spec)
        out, ctx.kept = kernels.forward(ctx.call, state, any(ctx.needs_input_grad))
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grads = ctx.kernels.backward(ctx.call, ctx.kept, grad_outputs[0].contiguous(), ctx.needs_input_grad[1])
        return *grads, None, None, None, None


def _pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    assert all(t is None or t.is_contiguous() for t in tensors)
    return [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]
