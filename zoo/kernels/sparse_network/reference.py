"""The specification of a network of units, in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.kernels.dense.reference import FUNCTIONS
from zoo.kernels.sparse_network.structure import Network


def sparse_network_reference(x: Tensor, weight: Tensor, bias: Tensor, network: Network, function: str) -> Tensor:
    """The specification: ``x [B, inputs]``, ``weight [slots]``, ``bias [biases]`` -> ``[B, outputs]``, layer by layer.

    Computed unit i has bias i modulo the number of biases. The function applies to all units but the outputs.
    """
    rows, first = x[:, network.columns.long()], 0
    for number, units in enumerate(network.layers):
        starts = network.starts[first : first + units + 1].long()
        edges = slice(int(starts[0]), int(starts[-1]))
        targets = torch.repeat_interleave(torch.arange(units, device=x.device), starts.diff())
        where = targets, network.sources[edges].long()
        matrix = weight.new_zeros(units, rows.shape[1]).index_put(where, weight[network.slots[edges].long()])
        biases = bias[torch.arange(first, first + units, device=x.device) % len(bias)]
        sums = F.linear(rows, matrix, biases)
        if number == len(network.layers) - 1:
            return sums
        rows, first = torch.cat([rows, FUNCTIONS[function](sums)], 1), first + units
    raise ValueError("a network has at least one layer, found none")
