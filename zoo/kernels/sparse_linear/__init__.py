"""A linear layer with few weights: ``y = x W^T`` for a sparse matrix W whose structure is fixed."""

from __future__ import annotations

from torch import Tensor

from zoo.kernels import runtime as backend
from zoo.kernels.sparse_linear.op import _CPU_DTYPES, _forward
from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure

DENSE_FROM = {"cpu": 0.25, "cuda": 0.05}
"""The density from which the dense form is faster, per device; `zoo bench family snapshots` measures it."""


def sparse_linear(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """``x [B, inputs]`` and the matrix's ``values [entries]`` -> ``[B, outputs]``, by whichever form is faster.

    float32 and float64, both of one dtype and device. Raises ValueError, TypeError.
    """
    _check(x, values, structure)
    if backend.mode() == "reference" or not uses_kernel(structure, x.device.type):
        return sparse_linear_reference(x, values, structure)
    y: Tensor = _forward(x.contiguous(), values.contiguous(), *structure.pattern)
    return y


def uses_kernel(structure: Structure, device: str) -> bool:
    """Whether the compiled kernel runs, rather than the dense form."""
    built = device == "cpu" or (device == "cuda" and backend.compiled().cuda_built)
    return built and structure.density < DENSE_FROM[device]


def _check(x: Tensor, values: Tensor, structure: Structure) -> None:
    if x.ndim != 2 or x.shape[1] != structure.inputs:
        raise ValueError(f"x should be [B, {structure.inputs}], found {list(x.shape)}")
    if values.shape != (structure.entries,):
        raise ValueError(f"values should be [{structure.entries}], found {list(values.shape)}")
    if x.dtype not in _CPU_DTYPES:
        raise TypeError(f"x should be float32 or float64, found {x.dtype}")
    if values.dtype != x.dtype:
        raise TypeError(f"values are {values.dtype}, x is {x.dtype}: they should be the same")
    if not x.device == values.device == structure.columns.device:
        raise ValueError(f"x is on {x.device}, values on {values.device}, the structure on {structure.columns.device}")
