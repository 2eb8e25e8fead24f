"""One growth event: sites of routed edges, their reciprocals and clones, until the quota is grown."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.families.snapshots.cloning import clone
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.extrema import Extrema
from zoo.families.snapshots.routing import Router


@dataclass(frozen=True)
class Growth:
    """What an event realised: its structures (rule 7) and where the next event's rotation goes on."""

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
    """Add up to ``quota`` structures to the draft, a site from each source layer in turn, starting at ``rotation``.

    A site without a single new edge is not a structure. With ``unit: connection`` every edge is one.
    """
    connections = config.structure.unit == "connection"
    if connections:
        draft.room = min(draft.room, quota)
    router = Router(draft, extrema, config.routing, scores, longer)
    layers = draft.layout.output
    sites = idle = 0
    while idle < layers and not draft.full and (connections or sites < quota):
        grown = grow_site(router, rotation % layers, config)
        rotation += 1
        sites += grown
        idle = 0 if grown else idle + 1
    return Growth(draft.grown if connections else sites, rotation % layers)


def grow_site(router: Router, layer: int, config: SnapshotsConfig) -> bool:
    """One site: the routed edges of ``structure.size`` high units of a layer, and clones of the first of them."""
    units: list[int] = []
    for _ in range(config.structure.size):
        unit = router.route(layer, set(units))
        if unit is None:
            break
        units.append(unit)
    if units:
        clone(router.draft, units[0], config.cloning)
    return bool(units)
