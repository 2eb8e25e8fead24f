"""The dispatcher passes None for a tensor that an op's schema requires; the ops refuse it."""

from __future__ import annotations

from torch import Tensor


def require(names: tuple[str, ...], *tensors: Tensor | None) -> None:
    """Raise TypeError if one of the tensors is None."""
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is None:
            raise TypeError(f"{name} must be a tensor, found None")
