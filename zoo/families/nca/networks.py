"""Forward pass of a population of task networks: sums, logits, and the penalty on silent hidden units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.nca.population import Wiring

LIVELY = 0.1
"""Sum below which a hidden unit counts as silent."""


def run_networks(weights: Tensor, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Run networks with weights ``[P, L, N, M]`` on ``inputs [P, S, N]``.

    Returns, per layer, its inputs ``[P, S, N]`` and its sums before the ReLU ``[P, S, M]``.
    """
    layer_inputs, sums = [inputs], []
    for layer in range(weights.shape[1]):
        sums.append(layer_inputs[-1] @ weights[:, layer])
        layer_inputs.append(fit_width(sums[-1].relu(), weights.shape[2]))
    return layer_inputs[:-1], sums


def read_logits(sums: list[Tensor], wiring: Wiring) -> Tensor:
    """Return logits ``[P, S, M]``: the sums of each network's own last layer, minus infinity beyond its classes."""
    logits = torch.zeros_like(sums[0])
    for here, layer_sums in zip(wiring.is_last, sums, strict=True):
        logits = torch.where(here, layer_sums, logits)
    return logits.masked_fill(~wiring.is_class, -torch.inf)


def silence_penalty(sums: list[Tensor], wiring: Wiring) -> Tensor:
    """Return a scalar: how far the sums of hidden units fall short of ``LIVELY``, averaged over inputs and units.

    Source: our own. A unit that is silent for every input has no gradient; one that is never silent passes on all of
    its sum.
    """
    short = torch.stack([(LIVELY - layer_sums).relu().mean(1) for layer_sums in sums], 1)
    layer = torch.arange(short.shape[1], device=short.device)[None, :, None]
    hidden = (layer < wiring.depth[:, None, None] - 1) & wiring.mask.any(2)
    return (short * hidden).sum() / hidden.sum().clamp(min=1)


def fit_width(x: Tensor, width: int) -> Tensor:
    """Cut or zero-pad the last axis; the numbers cut off belong to units that exist in no network."""
    return F.pad(x, (0, width - x.shape[-1]))
