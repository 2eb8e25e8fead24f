"""Checks of tensor arguments that all ops share, and the place of what they save."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import forward_ad


def require(names: tuple[str, ...], *tensors: Tensor | None) -> None:
    """Raise TypeError if one is None, which the dispatcher passes even where an op's schema requires a tensor."""
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is None:
            raise TypeError(f"{name} must be a tensor, found None")


def refuse_tangents(op: str, *tensors: Tensor | None) -> None:
    """Raise NotImplementedError for a tensor with a forward-mode tangent, which a registered op silently drops."""
    if forward_ad._current_level < 0:
        return
    unpack: Any = forward_ad.unpack_dual
    if any(tensor is not None and unpack(tensor).tangent is not None for tensor in tensors):
        raise NotImplementedError(
            f"{op} has no forward-mode derivative (jvp); use backward, torch.func.vjp, or ZOO_KERNELS=reference"
        )


def aligned(saved: Tensor) -> Tensor:
    """Return what forward saved where the kernels read it, 64 bytes at a time: a caller may have packed it."""
    saved = saved.contiguous()
    return saved.clone() if saved.data_ptr() % 64 else saved
