"""The loss's gradient by edges that are not there: which of them would help most."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.families.snapshots.model import SnapshotNet


def missing_gradient(net: SnapshotNet, inputs: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the mean cross-entropy of ``inputs [B, *input_shape]`` by an edge of weight 0 between any two units.

    ``[source, target]`` on the CPU, 0 where an edge would not lead forward. Edges that are there have theirs too.
    """
    # A bias per sample: its gradient is that of what each unit received, and an edge's is the product with its source.
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
