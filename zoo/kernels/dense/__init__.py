"""The small computations around the large kernels: linear layer, LayerNorm, activations, mixture.

With gradients, and anywhere but on the CPU in float32, these are torch's own (``reference.py``). In inference on the
CPU they are compiled (``op.py``): the SDK's native backend has no torch, and computes with the same kernels to give the
same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from zoo.kernels import runtime
from zoo.kernels.dense import op, reference


def in_inference(*tensors: Tensor) -> bool:
    """True if a result of these tensors needs no gradient and the compiled kernels compute it."""
    if runtime.mode() == "reference" or forward_ad._current_level >= 0 or torch.is_autocast_enabled("cpu"):
        return False
    wants_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not wants_gradient and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x [rows, inputs]``, ``weight [outputs, inputs]``, ``bias [outputs]`` -> ``[rows, outputs]``."""
    return (op.linear if in_inference(x, weight, bias) else reference.linear)(x, weight, bias)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``x [rows, n]``, ``weight`` and ``bias`` ``[n]`` -> ``[rows, n]``; ``eps`` is added to the variance."""
    return (op.layer_norm if in_inference(x, weight, bias) else reference.layer_norm)(x, weight, bias, eps)


def apply(x: Tensor, function: str) -> Tensor:
    """Apply ``tanh``, ``sigmoid`` or ``relu`` to every element."""
    return (op.apply if in_inference(x) else reference.apply)(x, function)


def log_mixture(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the log-probabilities ``[B, classes]`` of a mixture of classifiers.

    ``logits`` are ``[members, B, classes]``, ``weights`` ``[members]`` are positive.
    """
    return (op.log_mixture if in_inference(logits, weights) else reference.log_mixture)(logits, weights)
