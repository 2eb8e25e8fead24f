"""``torch.vmap`` of a registered op: one call per slice.

The kernels have a batch axis of their own, so a loop over the slices of another axis costs little, and it is right for
any combination of mapped arguments, such as per-sample gradients of the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef


def _slice(argument: Any, dim: Any, number: int) -> Any:
    return argument.select(dim, number) if isinstance(argument, Tensor) and isinstance(dim, int) else argument


def map_by_slices(op: CustomOpDef) -> None:
    """Register the rule for an op whose outputs are a tensor, or a tuple or list of tensors."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Any, Any]:
        slices = [
            op(*(_slice(a, dim, i) for a, dim in zip(arguments, in_dims, strict=True))) for i in range(info.batch_size)
        ]
        if isinstance(slices[0], Tensor):
            return torch.stack(slices), 0
        kind = type(slices[0])
        return kind(torch.stack(parts) for parts in zip(*slices, strict=True)), kind(0 for _ in slices[0])

    op.register_vmap(rule)
