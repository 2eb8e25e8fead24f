"""The specification of the small computations, in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
}  # fmt: skip


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``[rows, inputs]`` -> ``[rows, outputs]``."""
    return F.linear(x, weight, bias)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``[rows, n]`` -> ``[rows, n]``."""
    return F.layer_norm(x, weight.shape, weight, bias, eps)


def apply(x: Tensor, function: str) -> Tensor:
    """Apply a function by name to every element."""
    return FUNCTIONS[function](x)


def log_mixture(logits: Tensor, weights: Tensor) -> Tensor:
    """``[members, B, classes]`` -> ``[B, classes]``."""
    return (logits.log_softmax(-1) + weights.log()[:, None, None]).logsumexp(0)
