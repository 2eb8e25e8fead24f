"""Gradient of the loss with respect to missing edges, which shows those that would help most."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.snapshots.model import SnapshotNet


def missing_gradient(net: SnapshotNet, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the mean cross-entropy with respect to an edge of weight 0 between any two units.

    ``inputs [B, *input_shape]``, ``labels [B]`` -> ``[source, target]`` on the CPU, 0 where an edge would not lead
    forward. Existing edges have their gradient, too.
    """
    # A bias per sample has the gradient of a unit's sum; an edge's gradient is its product with the source.
    bias = net.bias.detach().expand(len(inputs), -1).clone().requires_grad_()
    layers = net.run(inputs, net.wiring(int(net.edges)), net.weight.detach(), bias)
    (received,) = torch.autograd.grad(F.cross_entropy(layers[-1], labels), bias)
    gradient = torch.zeros(net.layout.units, net.layout.units)
    with torch.no_grad():
        for number in range(1, net.layout.output + 1):
            units = net.layout.layer(number)
            by_unit = received[:, units.start - net.layout.inputs : units.stop - net.layout.inputs]
            gradient[: units.start, units] = (torch.cat(layers[:number], 1).T @ by_unit).cpu()
    return gradient
