"""Topologies of a CellNet, the sets of its connections: full, ring, clusters, or any list of edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from zoo.config.base import NonNegativeInt, PositiveInt, Section

Edge = tuple[int, int]
"""(source, target), as cell numbers."""


class _Topology(Section):
    """Base of all topologies."""


class FullTopology(_Topology):
    """Every ordered pair of cells."""

    name: Literal["full"] = "full"
    """The name of the topology."""


class RingTopology(_Topology):
    """Edges in both directions between each cell and the ``reach`` cells on either side."""

    name: Literal["ring"]
    """The name of the topology."""
    reach: int = Field(default=1, ge=1, le=256)
    """Number of neighbours on either side of a cell."""


class ClustersTopology(_Topology):
    """Consecutive clusters of ``size`` cells: dense inside, with few edges between them.

    ``bridges`` edges lead from each cluster to every other: from its last cell to the other's first, from its last but
    one to the other's second, and so on.
    """

    name: Literal["clusters"]
    """The name of the topology."""
    size: PositiveInt = Field(examples=[3])
    """Cells per cluster; divides ``cells``."""
    bridges: int = Field(default=1, ge=1, le=256)
    """Edges from each cluster to every other; at most ``size``."""


class ExplicitTopology(_Topology):
    """The edges as a list of [source, target]."""

    name: Literal["explicit"]
    """The name of the topology."""
    edges: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = Field(
        min_length=1, max_length=256 * 255, examples=[[[0, 1], [1, 2]]]
    )
    """The connections as [source, target], cells counted from 0."""


Topology = Annotated[
    FullTopology | RingTopology | ClustersTopology | ExplicitTopology,
    Field(discriminator="name"),
]


def edges_of(topology: Topology, cells: int) -> list[Edge]:
    """Return the edges among ``cells`` cells, ordered by target, then source.

    Raises ValueError if the topology does not fit the number of cells.
    """
    match topology:
        case FullTopology():
            found = {(source, target) for source in range(cells) for target in range(cells)}
        case RingTopology(reach=reach):
            ends = range(-reach, reach + 1)
            found = {((target + end) % cells, target) for target in range(cells) for end in ends}
        case ClustersTopology():
            found = _cluster_edges(topology, cells)
        case ExplicitTopology():
            found = _checked_edges(topology, cells)
    return sorted(
        ((source, target) for source, target in found if source != target), key=lambda edge: (edge[1], edge[0])
    )


def arrival_steps(edges: Sequence[Edge], cells: int, in_cells: int) -> list[int | None]:
    """Return for each cell the first step (from 1) after which its core depends on the input, or None if it never does.

    The first ``in_cells`` cells receive the input in step 1; each edge takes one more step.
    """
    targets: dict[int, list[int]] = {}
    for source, target in edges:
        targets.setdefault(source, []).append(target)
    arrival: list[int | None] = [1 if cell < in_cells else None for cell in range(cells)]
    waiting = deque((cell, 1) for cell in range(in_cells))
    while waiting:
        cell, step = waiting.popleft()
        for target in targets.get(cell, ()):
            if arrival[target] is None:
                arrival[target] = step + 1
                waiting.append((target, step + 1))
    return arrival


def _cluster_edges(topology: ClustersTopology, cells: int) -> set[Edge]:
    size, bridges = topology.size, topology.bridges
    if cells % size:
        raise ValueError(f"topology.size {size} must divide the {cells} cells")
    if bridges > size:
        raise ValueError(f"topology.bridges {bridges} must not exceed the size of a cluster, {size}")
    starts = range(0, cells, size)
    inside = {(start + a, start + b) for start in starts for a in range(size) for b in range(size)}
    between = {
        (start + size - 1 - bridge, other + bridge)
        for start in starts
        for other in starts
        for bridge in range(bridges)
        if start != other
    }
    return inside | between


def _checked_edges(topology: ExplicitTopology, cells: int) -> set[Edge]:
    for edge in topology.edges:
        if max(edge) >= cells:
            raise ValueError(f"topology.edges lists {list(edge)}, expected cells from 0 to {cells - 1}")
        if edge[0] == edge[1]:
            raise ValueError(f"topology.edges lists {list(edge)}, expected two different cells")
    found = set(topology.edges)
    if len(found) < len(topology.edges):
        raise ValueError("topology.edges must list each edge once")
    return found
