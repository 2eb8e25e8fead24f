"""A growth event: sites of routed edges with their reciprocals and clones, until the quota is reached."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.families.snapshots.cloning import clone
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.extrema import Extrema
from zoo.families.snapshots.routing import Router


@dataclass(frozen=True)
class Growth:
    """Result of an event: the number of new structures (rule 7) and the source layer at which the next event starts."""

    structures: int
    rotation: int


def grow(
    draft: Draft,
    extrema: Extrema,
    config: SnapshotsConfig,
    scores: Tensor,
    quota: int,
    rotation: int = 0,
    longer: int = 0,
) -> Growth:
    """Add up to ``quota`` structures to the draft: sites from each source layer in turn, starting at ``rotation``.

    ``scores [source, target]`` and ``longer`` are those of a :class:`Router`. A site without a single new edge does not
    count as a structure. With ``unit: connection``, every edge is a structure.
    """
    connections = config.structure.unit == "connection"
    if connections:
        draft.room = min(draft.room, quota)
    router = Router(draft, extrema, config.routing, scores, longer)
    sites, used = 0, set[int]()
    left = list(range(draft.layout.output))  # source layers that can still grow
    while left and not draft.full and (connections or sites < quota):
        if config.structure.rotate == "layers":
            layer = min(left, key=lambda number: (number - rotation) % draft.layout.output)
        else:
            high = torch.tensor([float(extrema.high[draft.layout.layer(number)].sum()) for number in left])
            layer = left[int(torch.multinomial(high + 1e-6, 1))]
        rotation = (layer + 1) % draft.layout.output
        units = grow_site(router, layer, config, used if config.routing.once else set())
        used.update(units)
        sites += bool(units)
        if not units:
            left.remove(layer)
    return Growth(draft.grown if connections else sites, rotation)


def grow_site(router: Router, layer: int, config: SnapshotsConfig, used: set[int]) -> list[int]:
    """Lay one site: the routed edges of ``structure.size`` unused high units of a layer, and clones of the first.

    Returns the units whose edges were laid, an empty list if none could be.
    """
    units: list[int] = []
    for _ in range(config.structure.size):
        unit = router.route(layer, used | set(units))
        if unit is None:
            break
        units.append(unit)
    if units:
        clone(router.draft, units[0], config.cloning)
    return units
