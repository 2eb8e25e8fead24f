"""The CUDA kernels of gridnet compiled for the CPU with the host shim, callable on torch tensors.

Everything the kernels are to write starts as NaN, workspaces included, so that what they forget shows.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

SUPPORT = Path(__file__).parent
CSRC = SUPPORT.parent.parent / "csrc"
ACTIVATIONS = ("silu", "relu", "leaky_relu", "tanh")
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}


def cuda_sources() -> list[Path]:
    return [*sorted((CSRC / "gridnet" / "cuda").glob("*.cu")), CSRC / "core" / "cuda" / "sum_parts.cu"]


def compile_with_shim(target: Path, sources: Sequence[Path], flags: Sequence[str]) -> Path:
    """Compile ``sources`` with g++ and the shim into ``target``, two at a time, warnings being errors."""
    common = ("g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-pthread", f"-I{CSRC}")
    compile_flags = (*common, *(flag for flag in flags if flag != "-shared"))
    shim = _precompiled_shim(compile_flags)

    def compile_one(source: Path) -> str:
        made = target.parent / f"{target.name}-{source.stem}.o"
        included = ("-Winvalid-pch", "-include", str(shim))
        _run([*compile_flags, *included, "-x", "c++", "-c", str(source), "-o", str(made)])
        return str(made)

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, sources))
    _run([*common, *flags, *objects, "-o", str(target)])
    return target


@functools.cache
def _precompiled_shim(compiler: tuple[str, ...]) -> Path:
    """The shim for all that is compiled with these flags: parsing it takes longer than many a kernel."""
    folder = Path(tempfile.mkdtemp(prefix="cuda_shim_"))
    atexit.register(shutil.rmtree, folder)
    header = folder / "shim.h"
    header.write_text(f'#include "{SUPPORT / "cuda_shim.h"}"\n')
    _run([*compiler, "-x", "c++-header", str(header), "-o", f"{header}.gch"])
    return header


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class StepConfig(ctypes.Structure):
    """zoo::gridnet::StepConfig."""

    _fields_ = (
        ("m", ctypes.c_int64),
        ("n", ctypes.c_int64),
        ("k", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("block", ctypes.c_int64),
        ("inner_steps", ctypes.c_int),
        ("gated", ctypes.c_bool),
        ("normalize", ctypes.c_bool),
        ("eps", ctypes.c_double),
        ("activation", ctypes.c_int),
    )


class EvolveConfig(ctypes.Structure):
    """zoo::gridnet::cuda::EvolveConfig."""

    _fields_ = (
        ("step", StepConfig),
        ("outer_steps", ctypes.c_int),
        ("separate_params", ctypes.c_bool),
        ("outer_residual", ctypes.c_bool),
        ("norm_eps", ctypes.c_double),
        ("segment", ctypes.c_int),
    )


@dataclass(frozen=True)
class Step:
    """How a step is done; as the arguments of ``zoo.kernels.gridnet.reference``."""

    inner_steps: int = 1
    block: int = 1
    activation: str = "silu"
    gated: bool = False
    normalize: bool = False
    eps: float = 1e-3

    def config(self, x: Tensor) -> StepConfig:
        return StepConfig(
            *x.shape[1:], len(x), self.block, self.inner_steps, self.gated, self.normalize, self.eps,
            ACTIVATIONS.index(self.activation),
        )  # fmt: skip


@dataclass(frozen=True)
class Evolution:
    """How the whole network is run."""

    step: Step
    outer_steps: int = 3
    outer_residual: bool = False
    norm_eps: float = 1e-5
    segment: int = 1

    def config(self, weight: Tensor, x: Tensor) -> EvolveConfig:
        return EvolveConfig(
            self.step.config(x),
            self.outer_steps,
            len(weight) > 1,
            self.outer_residual,
            self.norm_eps,
            self.segment,
        )


class KernelError(Exception):
    """The line a launcher returned."""


class GridnetCuda:
    """The entry points of csrc/gridnet/cuda/api.h.

    Inputs and gradients are ``[weight, bias, residual_scale or None, x]``, with ``norm_weight, norm_bias``
    after them for an evolution.
    """

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("step_forward", "step_backward", "evolve_forward", "evolve_backward"):
            getattr(self._lib, name).restype = ctypes.c_char_p
        for name in (
            "step_backward_workspace",
            "evolve_saved",
            "evolve_forward_workspace",
            "evolve_backward_workspace",
        ):
            getattr(self._lib, f"{name}_bytes").restype = ctypes.c_size_t
        assert self._lib.step_config_bytes() == ctypes.sizeof(StepConfig)
        assert self._lib.evolve_config_bytes() == ctypes.sizeof(EvolveConfig)

    def step(self, step: Step, inputs: Sequence[Tensor | None]) -> Tensor:
        x = _present(inputs[3])
        out = torch.full_like(x, torch.nan)
        self._call("step_forward", x, step.config(x), _pointers(inputs), _pointer(out))
        return out

    def step_backward(self, step: Step, inputs: Sequence[Tensor | None], grad_out: Tensor) -> list[Tensor | None]:
        x = _present(inputs[3])
        config = step.config(x)
        grads = [None if t is None else torch.full_like(t, torch.nan) for t in inputs]
        workspace = self._memory("step_backward_workspace", x, config)
        self._call("step_backward", x, config, _pointers(inputs), _pointers([grad_out, *grads]), _pointer(workspace))
        return grads

    def evolve(
        self, evolution: Evolution, inputs: Sequence[Tensor | None], training: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The output and, in training, what backward needs."""
        x = _present(inputs[3])
        config = evolution.config(_present(inputs[0]), x)
        out = torch.full_like(x, torch.nan)
        saved = self._memory("evolve_saved", x, config) if training else None
        workspace = self._memory("evolve_forward_workspace", x, config, training)
        self._call(
            "evolve_forward",
            x,
            config,
            _pointers(inputs),
            _pointer(out),
            _pointer(saved),
            _pointer(workspace),
        )
        return out, saved

    def evolve_backward(
        self, evolution: Evolution, inputs: Sequence[Tensor | None], saved: Tensor | None, grad_out: Tensor
    ) -> list[Tensor | None]:
        x = _present(inputs[3])
        config = evolution.config(_present(inputs[0]), x)
        grads = [None if t is None else torch.full_like(t, torch.nan) for t in inputs]
        workspace = self._memory("evolve_backward_workspace", x, config)
        self._call(
            "evolve_backward", x, config, _pointers(inputs), _pointer(saved), _pointers([grad_out, *grads]),
            _pointer(workspace),
        )  # fmt: skip
        return grads

    def saved_bytes(self, evolution: Evolution, inputs: Sequence[Tensor | None]) -> int:
        x = _present(inputs[3])
        return len(self._memory("evolve_saved", x, evolution.config(_present(inputs[0]), x)))

    def _memory(self, name: str, x: Tensor, config: ctypes.Structure, *options: bool) -> Tensor:
        count = getattr(self._lib, f"{name}_bytes")(_DTYPES[x.dtype], ctypes.byref(config), *options)
        return torch.full((count,), 0xFF, dtype=torch.uint8)  # NaN as floating-point numbers of any size

    def _call(self, name: str, x: Tensor, config: ctypes.Structure, *arguments: object) -> None:
        error = getattr(self._lib, name)(_DTYPES[x.dtype], ctypes.byref(config), *arguments)
        if error:
            raise KernelError(error.decode())


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _pointers(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    assert all(t is None or t.is_contiguous() for t in tensors)
    return (ctypes.c_void_p * len(tensors))(*[_pointer(t) for t in tensors])
