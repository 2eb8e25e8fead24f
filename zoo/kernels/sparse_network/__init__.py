"""A network of units with few edges, in one call: ``x -> outputs`` through all layers, forward and backward.

:func:`sparse_network` runs the compiled op (``op.py``), which is for training on the CPU. What it computes is in
``reference.py``; layers of :mod:`zoo.kernels.sparse_linear` compute the same, call by call, on every device.
"""

from __future__ import annotations

from torch import Tensor

from zoo.kernels import runtime
from zoo.kernels.arguments import refuse_tangents
from zoo.kernels.sparse_network.op import run_op
from zoo.kernels.sparse_network.reference import sparse_network_reference
from zoo.kernels.sparse_network.structure import Network as Network

DENSE_FROM = 0.5
"""Density above which products of dense matrices are faster; ``zoo bench family snapshots`` measures it."""


def sparse_network(x: Tensor, weight: Tensor, bias: Tensor, network: Network, function: str) -> Tensor:
    """Compute ``x [B, inputs]`` through the network with ``weight [slots]`` and ``bias [biases]``.

    Returns ``[B, outputs]``. Computed unit i has bias i modulo the number of biases. ``function`` is ``tanh``,
    ``sigmoid`` or ``relu``, and applies to all units but the outputs. The tensors share one dtype, float32 or float64,
    and are on the CPU. Raises ValueError for a wrong shape, device or function, TypeError for a wrong dtype.
    """
    if runtime.mode() == "reference":
        return sparse_network_reference(x, weight, bias, network, function)
    refuse_tangents("sparse_network", x, weight, bias)
    return run_op(x, weight, bias, network, function)


def is_faster(x: Tensor, network: Network) -> bool:
    """True if the compiled op runs on the device of ``x``, and faster than products of dense matrices."""
    return x.device.type == "cpu" and runtime.mode() != "reference" and network.density < DENSE_FROM
