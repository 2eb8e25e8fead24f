"""Rule 1: edges and weights before any training."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from zoo.families.snapshots.config import StartConfig
from zoo.families.snapshots.layout import Layout


def start_counts(layout: Layout, config: StartConfig) -> list[int]:
    """Return the number of initial edges into each layer after the input: the density's share, at least one."""
    return [max(1, round(config.density * before * after)) for before, after in pairwise(layout.widths)]


def start_edges(layout: Layout, config: StartConfig) -> tuple[Tensor, Tensor]:
    """Draw the initial edges, :func:`start_counts` into each layer; return source and target, int64 ``[edges]``."""
    wanted: set[int] | None = None  # units of the layer ahead in which edges should end; None: any
    pairs: list[tuple[int, int]] = []
    counts = start_counts(layout, config)
    for number in range(layout.output, 0, -1):
        before, after, count = layout.widths[number - 1], layout.widths[number], counts[number - 1]
        ends = sorted(wanted) if config.connected and wanted else list(range(after))
        if count > before * len(ends):  # more than fit on paths
            ends = list(range(after))
        laid = _pairs(before, ends, count)
        pairs += [(layout.starts[number - 1] + s, layout.starts[number] + t) for s, t in laid]
        wanted = {source for source, _ in laid}
    edges = torch.tensor(pairs, dtype=torch.int64)
    return edges[:, 0], edges[:, 1]


def start_weights(target: Tensor, units: int, activation: str) -> Tensor:
    """Draw weights ``[edges]``: Xavier's (tanh, sigmoid) or He's (relu) normal, for the targets' active fan-in."""
    fan_in = torch.bincount(target, minlength=units)[target]
    gain = 2.0 if activation == "relu" else 1.0
    return torch.randn(len(target)) * (gain / fan_in).sqrt()


def _pairs(before: int, ends: list[int], count: int) -> list[tuple[int, int]]:
    """Draw ``count`` distinct pairs of a unit of the layer before and one of ``ends``, taking the ends in turn."""
    order = torch.randperm(len(ends))
    sources = [torch.randperm(before)[: -(-count // len(ends))].tolist() for _ in ends]
    return [(sources[i % len(ends)][i // len(ends)], ends[int(order[i % len(ends)])]) for i in range(count)]
