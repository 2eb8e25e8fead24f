"""The CUDA kernels of Meta-NCA's evolution compiled for the CPU with the host shim, callable on torch tensors.

Everything the kernels are to write starts as NaN, workspaces included, so that what they forget shows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.support.gridnet_cuda import CSRC, KernelError

DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 3}
"""As in cuda.h; bfloat16 is not built."""
HIDDEN = ("silu", "relu")
CHANGES = ("linear", "tanh", "sigmoid")
_MOST_WIDTHS = 10


def shim_sources() -> list[Path]:
    """The kernels, and the sum over CTAs that they share with gridnet's."""
    return [*sorted((CSRC / "nca").glob("cuda_*.cu")), CSRC / "gridnet" / "cuda_reduce.cu"]


class Population(ctypes.Structure):
    """zoo::nca::Population."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "layers", "rows", "columns", "channels", "signals")),
        ("units", ctypes.c_void_p),
    )


class Rule(ctypes.Structure):
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
class Case:
    """A population, its rule, and how long it evolves."""

    networks: Sequence[Sequence[int]]
    """Units per layer of each."""
    channels: int = 3
    signals: int = 0
    hidden: Sequence[int] = (5, 4)
    activation: str = "silu"
    change: str = "tanh"
    scale: float = 0.5
    mean: bool = True
    norm: bool = False
    norm_eps: float = 1e-5
    epochs: int = 2
    fraction: float = 0.7

    @property
    def widths(self) -> list[int]:
        return [3 * self.channels + self.signals, *self.hidden, self.channels]

    @property
    def units(self) -> Tensor:
        """int32 ``[P, L + 1]``, 0 beyond a network's last layer."""
        longest = max(len(units) for units in self.networks)
        return torch.tensor([[*u, *[0] * (longest - len(u))] for u in self.networks], dtype=torch.int32)

    @property
    def mask(self) -> Tensor:
        """bool ``[P, L, N, M]``: which weights exist."""
        units = self.units
        rows = torch.arange(int(units[:, :-1].max())) < units[:, :-1, None]
        columns = torch.arange(int(units[:, 1:].max())) < units[:, 1:, None]
        return rows[..., :, None] & columns[..., None, :]

    def tensors(self, dtype: torch.dtype) -> list[Tensor]:
        """``[states, signals, parameters]`` at random, padding included."""
        torch.manual_seed(0)
        shape, widths = self.mask.shape, self.widths
        count = sum((n + 1) * m for n, m in pairwise(widths)) + 2 * widths[0] * self.norm
        sizes = [(*shape, self.channels), (*shape, self.signals), (count,)]
        return [torch.randn(size, dtype=torch.float64).to(dtype) * 0.7 for size in sizes]

    def fires(self) -> Tensor:
        """bool ``[T, P, L, N, M]``, at random where no weight exists too."""
        generator = torch.Generator().manual_seed(1)
        return torch.rand(self.epochs, *self.mask.shape, generator=generator) < self.fraction


def reference(case: Case, fires: Tensor, states: Tensor, signals: Tensor, parameters: Tensor) -> Tensor:
    """The specification: states ``[P, L, N, M, C]`` after the case's epochs."""
    mask, units = case.mask[..., None].to(states.device), case.units.to(states.device)
    fan_in, fan_out = ((u - 1).clamp(min=1)[..., None, None, None] for u in (units[:, :-1], units[:, 1:]))
    for fires_now in fires:
        there = states * mask
        into, out_of = there.sum(2, keepdim=True) - there, there.sum(3, keepdim=True) - there
        if case.mean:
            into, out_of = into / fan_in, out_of / fan_out
        change = _rule(case, torch.cat([there, into, out_of, signals], -1), parameters)
        states = torch.where(fires_now[..., None] & mask, states + change, states)
    return states


def _rule(case: Case, x: Tensor, parameters: Tensor) -> Tensor:
    def take(*shape: int) -> Tensor:
        nonlocal parameters
        count = torch.Size(shape).numel()
        taken, parameters = parameters[:count].view(shape), parameters[count:]
        return taken

    features = case.widths[0]
    if case.norm:
        x = F.layer_norm(x, (features,), take(features), take(features), case.norm_eps)
    for number, (n, m) in enumerate(pairwise(case.widths)):
        x = F.linear(x, take(m, n), take(m))
        if number < len(case.hidden):
            x = F.silu(x) if case.activation == "silu" else x.relu()
    if case.change != "linear":
        x = x.tanh() if case.change == "tanh" else x.sigmoid()
    return x * case.scale


class NcaCuda:
    """The entry points of csrc/nca/cuda.h. ``tensors`` are the case's states, signals and parameters."""

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("forward", "backward"):
            getattr(self._lib, name).restype = ctypes.c_char_p
        for name in ("population", "rule", "kept", "forward_workspace", "backward_workspace"):
            getattr(self._lib, f"{name}_bytes").restype = ctypes.c_size_t
        assert self._lib.population_bytes() == ctypes.sizeof(Population)
        assert self._lib.rule_bytes() == ctypes.sizeof(Rule)

    def infer(self, case: Case, tensors: Sequence[Tensor], fires: Tensor) -> Tensor:
        """The states after the evolution."""
        return self._forward(case, tensors, fires, None)

    def forward(self, case: Case, tensors: Sequence[Tensor], fires: Tensor) -> tuple[Tensor, Tensor]:
        """The states after the evolution, and what backward needs."""
        kept = self._memory("kept", tensors[0], _Task(case).population, case.epochs)
        return self._forward(case, tensors, fires, kept), kept

    def _forward(self, case: Case, tensors: Sequence[Tensor], fires: Tensor, kept: Tensor | None) -> Tensor:
        states, out, task = tensors[0], torch.full_like(tensors[0], torch.nan), _Task(case)
        workspace = self._memory("forward_workspace", states, task.population)
        self._call("forward", task, tensors, fires, *_pointers(states, out, kept, workspace))
        return out

    def backward(
        self,
        case: Case,
        tensors: Sequence[Tensor],
        fires: Tensor,
        kept: Tensor,
        grad_out: Tensor,
        signals: bool = True,
    ) -> list[Tensor | None]:
        """Gradients of the states, the signals (None: not wanted) and the parameters."""
        grads = [torch.full_like(t, torch.nan) for t in tensors]
        wanted = [grads[0], grads[1] if signals else None, grads[2]]
        task = _Task(case)
        workspace = self._memory("backward_workspace", tensors[0], task.population, task.rule)
        addresses = (ctypes.c_void_p * 3)(*_pointers(*wanted))
        self._call("backward", task, tensors, fires, *_pointers(kept, grad_out), addresses, *_pointers(workspace))
        return wanted

    def _memory(self, name: str, states: Tensor, *arguments: ctypes.Structure | int) -> Tensor:
        given = [a if isinstance(a, int) else ctypes.byref(a) for a in arguments]
        count = getattr(self._lib, f"{name}_bytes")(DTYPES[states.dtype], *given)
        return torch.full((count,), 0xFF, dtype=torch.uint8)  # NaN as floating-point numbers of any size

    def _call(self, name: str, task: _Task, tensors: Sequence[Tensor], fires: Tensor, *rest: object) -> None:
        inputs = (ctypes.c_void_p * 3)(*_pointers(tensors[1], fires, tensors[2]))
        population, rule = ctypes.byref(task.population), ctypes.byref(task.rule)
        error = getattr(self._lib, name)(DTYPES[tensors[0].dtype], population, rule, task.case.epochs, inputs, *rest)
        if error:
            raise KernelError(error.decode())


class _Task:
    """A case as the kernels take it."""

    def __init__(self, case: Case) -> None:
        self.case, self._units = case, case.units
        self.population = Population(*case.mask.shape, case.channels, case.signals, self._units.data_ptr())
        widths = (ctypes.c_int * _MOST_WIDTHS)(*case.widths[:_MOST_WIDTHS])
        activation, change = HIDDEN.index(case.activation), CHANGES.index(case.change)
        self.rule = Rule(
            len(case.widths) - 1, widths, activation, change, case.scale, case.mean, case.norm, case.norm_eps
        )


def _pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    assert all(t is None or t.is_contiguous() for t in tensors)
    return [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]
