"""The bound on a norm layer's weights, for forward passes that must not write to the weights and for those that may."""

from __future__ import annotations

import torch
from torch import Tensor


def apply_bound(weight: Tensor, bound: float) -> Tensor:
    """Return ``weight`` clamped to ``[-bound, bound]``; gradients pass as if nothing had been clamped.

    So a weight that an optimizer has moved beyond the bound can come back. Works under torch.func transforms.
    """
    bounded = weight.clamp(-bound, bound)
    if not torch.is_grad_enabled():
        return bounded
    return bounded.detach() + (weight - weight.detach())


def can_write() -> bool:
    """Return True if a forward pass may write to the weights: torch.func transforms forbid it."""
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is None
