"""The specification of the sparse linear layer, in plain torch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from zoo.kernels.sparse_linear.structure import Structure


def sparse_linear_reference(x: Tensor, values: Tensor, structure: Structure) -> Tensor:
    """The specification: ``[B, inputs]`` times the transposed matrix with ``values [entries]`` -> ``[B, outputs]``."""
    size = structure.outputs * structure.inputs
    weight = values.new_zeros(size).index_put((structure.flat,), values)
    return F.linear(x, weight.view(structure.outputs, structure.inputs))
