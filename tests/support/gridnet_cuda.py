"""The CUDA kernels of gridnet compiled for the CPU with the host shim, callable on torch tensors.

Everything that the kernels must write starts as NaN, workspaces included, so that an omission shows.
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
    """zoo::gridnet::EvolveConfig."""

    _fields_ = (
        ("step", StepConfig),
        ("outer_steps", ctypes.c_int),
        ("separate", ctypes.c_bool),
        ("norm", ctypes.c_bool),
        ("outer_residual", ctypes.c_bool),
        ("norm_eps", ctypes.c_double),
        ("recompute", ctypes.c_int),
    )


@dataclass(frozen=True)
class Step:
    """The options of a step, as the arguments of ``zoo.kernels.gridnet.reference``."""

    inner_steps: int = 1
    block: int = 1
    activation: str = "silu"
    gated: bool = False
    normalize: bool = False
    eps: float = 1e-3

    def step_config(self, x: Tensor) -> StepConfig:
        return StepConfig(
            *x.shape[1:], len(x), self.block, self.inner_steps, self.gated, self.normalize, self.eps,
            ACTIVATIONS.index(self.activation),
        )  # fmt: skip

    def config(self, x: Tensor) -> EvolveConfig:
        """A single step is the evolution with one outer step and without norm."""
        return EvolveConfig(self.step_config(x), 1, False, False, False, 0.0, 1)


@dataclass(frozen=True)
class Evolution:
    """The options of an evolution with norm."""

    step: Step
    outer_steps: int = 3
    outer_residual: bool = False
    norm_eps: float = 1e-5
    recompute: int = 1

    def config(self, weight: Tensor, x: Tensor) -> EvolveConfig:
        return EvolveConfig(
            self.step.step_config(x),
            self.outer_steps,
            len(weight) > 1,
            True,
            self.outer_residual,
            self.norm_eps,
            self.recompute,
        )


class KernelError(Exception):
    """An error line that an entry point returned."""


class GridnetCuda:
    """The entry points of csrc/gridnet/cuda/api.h.

    Inputs and gradients are ``[weight, bias, residual_scale or None, x]``, followed by ``norm_weight, norm_bias`` for
    an evolution.
    """

    def __init__(self, library: Path) -> None:
        self._lib = ctypes.CDLL(str(library))
        for name in ("evolve_forward", "evolve_backward"):
            getattr(self._lib, name).restype = ctypes.c_char_p
        for name in ("saved", "forward_workspace", "backward_workspace"):
            getattr(self._lib, f"{name}_bytes").restype = ctypes.c_size_t
        self._lib.launches.restype = ctypes.c_uint64
        assert self._lib.step_config_bytes() == ctypes.sizeof(StepConfig)
        assert self._lib.evolve_config_bytes() == ctypes.sizeof(EvolveConfig)

    def step(self, step: Step, inputs: Sequence[Tensor | None]) -> Tensor:
        return self._forward(step.config(_present(inputs[3])), inputs, None)

    def step_backward(self, step: Step, inputs: Sequence[Tensor | None], grad_out: Tensor) -> list[Tensor | None]:
        return self._backward(step.config(_present(inputs[3])), inputs, None, grad_out)

    def evolve(
        self, evolution: Evolution, inputs: Sequence[Tensor | None], training: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The output and, in training, the saved activations."""
        x = _present(inputs[3])
        config = evolution.config(_present(inputs[0]), x)
        saved = self._memory("saved", x, config) if training else None
        return self._forward(config, inputs, saved), saved

    def evolve_backward(
        self, evolution: Evolution, inputs: Sequence[Tensor | None], saved: Tensor | None, grad_out: Tensor
    ) -> list[Tensor | None]:
        return self._backward(evolution.config(_present(inputs[0]), _present(inputs[3])), inputs, saved, grad_out)

    def launches(self) -> int:
        """Kernels launched since the last call."""
        count: int = self._lib.launches()
        return count

    def tile_bank_conflicts(self, grid: tuple[int, int, int], batch: int, cells: int) -> int:
        """The most numbers in one bank of shared memory that a warp, with ``cells`` per thread, reads at once."""
        count: int = self._lib.tile_bank_conflicts(*grid, ctypes.c_int64(batch), cells)
        return count

    def saved_bytes(self, evolution: Evolution, inputs: Sequence[Tensor | None]) -> int:
        x = _present(inputs[3])
        return len(self._memory("saved", x, evolution.config(_present(inputs[0]), x)))

    def _forward(self, config: EvolveConfig, inputs: Sequence[Tensor | None], saved: Tensor | None) -> Tensor:
        x = _present(inputs[3])
        out = torch.full_like(x, torch.nan)
        workspace = self._memory("forward_workspace", x, config, saved is not None)
        self._call("evolve_forward", x, config, _tensors(inputs), _pointer(out), _pointer(saved), _pointer(workspace))
        return out

    def _backward(
        self, config: EvolveConfig, inputs: Sequence[Tensor | None], saved: Tensor | None, grad_out: Tensor
    ) -> list[Tensor | None]:
        x = _present(inputs[3])
        grads = [None if t is None else torch.full_like(t, torch.nan) for t in inputs]
        workspace = self._memory("backward_workspace", x, config)
        self._call(
            "evolve_backward", x, config, _tensors(inputs), _pointer(saved), _pointer(grad_out), _tensors(grads),
            _pointer(workspace),
        )  # fmt: skip
        return grads

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


def _tensors(tensors: Sequence[Tensor | None]) -> ctypes.Array[ctypes.c_void_p]:
    """Inputs or gradients in the order of zoo::gridnet::Inputs, null where a step has none."""
    assert all(t is None or t.is_contiguous() for t in tensors)
    weight, bias, residual_scale, x, *norm = tensors
    ordered = (weight, bias, residual_scale, *(norm or (None, None)), x)
    return (ctypes.c_void_p * len(ordered))(*[_pointer(t) for t in ordered])
