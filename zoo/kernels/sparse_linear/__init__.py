"""A linear layer with few weights: ``y = x W^T`` for a sparse matrix W whose structure is fixed.

:func:`sparse_linear` runs the compiled op (``op.py``) below a measured density. Above it, on devices without a compiled
body, and if ``ZOO_KERNELS=reference``, the dense form (``reference.py``) runs: a matrix with zeros in it.
"""

from __future__ import annotations

from torch import Tensor

from zoo.kernels import runtime
from zoo.kernels.dense import in_inference
from zoo.kernels.sparse_linear.op import CPU_DTYPES, run_op
from zoo.kernels.sparse_linear.reference import sparse_linear_reference
from zoo.kernels.sparse_linear.structure import Structure

DENSE_FROM = {"cpu": 0.25, "cuda": 0.05}
"""Density above which the dense form is faster, by device; ``zoo bench family snapshots`` measures it."""


def sparse_linear(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """Multiply ``x [B, inputs]`` by the transposed matrix with ``values [entries]``, in the faster form.

    In inference on the CPU that is always the kernel, which the SDK's native backend has, too. Returns
    ``[B, outputs]``. Both tensors share one dtype, float32 or float64, and one device. Raises ValueError for a wrong
    shape or device, TypeError for a wrong dtype.
    """
    if x.ndim != 2 or x.shape[1] != structure.inputs:
        raise ValueError(f"x should be [B, {structure.inputs}], found {list(x.shape)}")
    compiled = in_inference(x, values) or uses_kernel(structure, x.device.type)
    if runtime.mode() == "reference" or not compiled:
        _check_kinds(x, values, structure)
        return sparse_linear_reference(x, values, structure)
    return run_op(x, values, structure)  # checks its arguments


def uses_kernel(structure: Structure, device: str) -> bool:
    """True if the compiled kernel runs, False if the dense form does."""
    built = device in ("cpu", "meta") or (device == "cuda" and runtime.compiled().cuda_built)
    return built and structure.density < DENSE_FROM["cuda" if device == "cuda" else "cpu"]


def _check_kinds(x: Tensor, values: Tensor, structure: Structure) -> None:
    if values.shape != (structure.entries,):
        raise ValueError(f"values should be [{structure.entries}], found {list(values.shape)}")
    if x.dtype not in CPU_DTYPES:
        raise TypeError(f"x should be float32 or float64, found {x.dtype}")
    if values.dtype != x.dtype:
        raise TypeError(f"values are {values.dtype}, x is {x.dtype}: they should be the same")
    if not x.device == values.device == structure.columns.device:
        raise ValueError(f"x is on {x.device}, values on {values.device}, the structure on {structure.columns.device}")
