"""Rule 1: the edges and weights before any training."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from zoo.families.snapshots.config import StartConfig
from zoo.families.snapshots.layout import Layout


def start_counts(layout: Layout, config: StartConfig) -> list[int]:
    """How many edges the start lays into each layer after the input: the density's share, at least one."""
    return [max(1, round(config.density * before * after)) for before, after in pairwise(layout.widths)]


def start_edges(layout: Layout, config: StartConfig) -> tuple[Tensor, Tensor]:
    """Source and target, int64 ``[edges]``: adjacent layers share the density's edges by size, each at least one."""
    wanted: set[int] | None = None  # units of the layer ahead that an edge should end in; None: any
    pairs: list[tuple[int, int]] = []
    counts = start_counts(layout, config)
    for number in range(layout.output, 0, -1):
        before, after, count = layout.widths[number - 1], layout.widths[number], counts[number - 1]
        ends = sorted(wanted) if config.connected and wanted else list(range(after))
        if count > before * len(ends):  # more than the paths can hold
            ends = list(range(after))
        laid = _pairs(before, ends, count)
        pairs += [(layout.starts[number - 1] + s, layout.starts[number] + t) for s, t in laid]
        wanted = {source for source, _ in laid}
    edges = torch.tensor(pairs, dtype=torch.int64)
    return edges[:, 0], edges[:, 1]


def _pairs(before: int, ends: list[int], count: int) -> list[tuple[int, int]]:
    """So many different pairs of a unit before and one of the ends, the ends taken in turn."""
    order = torch.randperm(len(ends))
    sources = [torch.randperm(before)[: -(-count // len(ends))].tolist() for _ in ends]
    return [(sources[i % len(ends)][i // len(ends)], ends[int(order[i % len(ends)])]) for i in range(count)]


def start_weights(target: Tensor, units: int, activation: str) -> Tensor:
    """Xavier's (tanh, sigmoid) or He's (relu) normal weights ``[edges]``, for the active fan-in of each target."""
    fan_in = torch.bincount(target, minlength=units)[target]
    gain = 2.0 if activation == "relu" else 1.0
    return torch.randn(len(target)) * (gain / fan_in).sqrt()
