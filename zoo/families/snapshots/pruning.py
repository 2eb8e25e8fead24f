"""Pruning: after a phase has grown, its smallest weights go, until the edges of the phase's end are left.

Source: the cubic decrease of Zhu and Gupta, "To prune, or not to prune" (2017), here from a network that has grown.
A pruned edge has weight 0. Its slot is freed unless a stored snapshot still has the edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.families.snapshots.config import PhaseConfig
from zoo.families.snapshots.model import SnapshotNet


def edges_after(phase: PhaseConfig, epoch: int, edges: int) -> int:
    """Return how many of ``edges`` stay after ``epoch``: all while the phase grows, its ``edges`` at ``prune_until``.

    In between, the edges in excess decrease with the cube of the time that is left.
    """
    if phase.edges is None or phase.grow_until is None or phase.prune_until is None:
        return edges
    if not phase.grow_until < epoch <= phase.prune_until or edges <= phase.edges:
        return edges
    left = phase.prune_until - epoch
    return phase.edges + int((edges - phase.edges) * (left / (left + 1)) ** 3)


@torch.no_grad()
def prune(net: SnapshotNet, count: int) -> None:
    """Set all weights but the ``count`` largest to 0; weights that the network holds stay in any case."""
    laid = net.weight[: int(net.edges)]
    size = laid.abs()
    size[: net.held] = torch.inf
    if count < int(laid.count_nonzero()):
        laid[size.argsort(descending=True, stable=True)[max(count, net.held) :]] = 0


@torch.no_grad()
def free_slots(net: SnapshotNet, optimizer: Optimizer | None) -> None:
    """Move edges into the slots of those that neither the network nor a snapshot has, with the optimizer's memory."""
    edges = int(net.edges)
    used = (net.weight[:edges] != 0) | (net.snapshots.values[:, :edges] != 0).any(0)
    used[: net.held] = True
    kept = used.nonzero().flatten()
    count = len(kept)
    if count == edges:
        return
    slots = len(net.weight)
    memory = optimizer.state[net.weight].values() if optimizer is not None and net.weight in optimizer.state else ()
    rows = [value for value in memory if isinstance(value, Tensor) and value.shape == net.weight.shape]
    for row in (net.source, net.target, net.weight, *rows, *net.snapshots.values[:, :slots]):
        row[:count] = row[:edges][kept]
        row[count:] = 0
    before = torch.cat([used.new_zeros(1, dtype=torch.int32), used.cumsum(0).int()])
    net.snapshots.facts[:, 0] = before[net.snapshots.facts[:, 0].long()]
    net.edges.fill_(count)
    net.rewire()


def living(net: SnapshotNet) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, target (int64) and weight of the edges that are not pruned, on the CPU."""
    source, target, weight = net.laid()
    here = weight != 0
    return source[here], target[here], weight[here]
