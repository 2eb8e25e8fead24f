"""Rule 5: cloning of an extremum into the adjacent layers."""

from __future__ import annotations

import torch

from zoo.families.snapshots.config import CloningConfig
from zoo.families.snapshots.draft import Draft


def clone(draft: Draft, unit: int, config: CloningConfig) -> list[int]:
    """Copy a hidden unit's forward edges to one unit of each adjacent hidden layer; return the units that got any."""
    layout = draft.layout
    layer = int(layout.layer_of[unit])
    adjacent = {"none": [], "next": [layer + 1], "both": [layer + 1, layer - 1]}[config.layers]
    hidden = range(1, layout.output)
    if layer not in hidden:
        return []
    copies = [
        copy_edges(draft, unit, least_connected(draft, near), config.scale) for near in adjacent if near in hidden
    ]
    return [copy for copy in copies if copy is not None]


def least_connected(draft: Draft, layer: int) -> int:
    """Return the unit of a layer with the fewest edges, which is a dormant one if any; ties are broken at random."""
    units = draft.layout.layer(layer)
    degree = draft.connected[:, units].sum(0) + draft.connected[units].sum(1)
    choices = (degree == degree.min()).nonzero().flatten()
    first: int = units.start
    return first + int(choices[torch.randint(len(choices), ())])


def copy_edges(draft: Draft, unit: int, copy: int, scale: float) -> int | None:
    """Give ``copy`` those edges of ``unit`` that also lead forward from or to ``copy``, with their weights scaled.

    Returns ``copy``, or None if it got no edge.
    """
    layer_of = draft.layout.layer_of
    inward = [(source, copy, draft.weights[source, unit]) for source in draft.inward(unit)]
    outward = [(copy, target, draft.weights[unit, target]) for target in draft.outward(unit)]
    forward = [edge for edge in inward + outward if layer_of[edge[0]] < layer_of[edge[1]] and edge[2]]  # not pruned
    grown = sum([draft.add(source, target, scale * weight) for source, target, weight in forward])
    return copy if grown else None
