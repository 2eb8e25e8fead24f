"""Growth events: only edges that were added count."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.extrema import Extrema
from zoo.families.snapshots.growth import Growth, grow
from zoo.families.snapshots.layout import Layout

LAYOUT = Layout((20, 12, 8, 4))


def draft_of(room: int = 1000) -> Draft:
    none = torch.zeros(0, dtype=torch.int64)
    return Draft(LAYOUT, none, none, torch.zeros(0), room)


def everything() -> Extrema:
    every = torch.ones(LAYOUT.units, dtype=torch.bool)
    return Extrema(every.clone(), every)


def event(draft: Draft, quota: int, rotation: int = 0, extrema: Extrema | None = None, **options: Any) -> Growth:
    torch.manual_seed(0)
    config = SnapshotsConfig(**{"hidden": (12, 8), **options})
    scores = torch.rand(LAYOUT.units, LAYOUT.units)
    return grow(draft, extrema or everything(), config, scores, quota, rotation)


def source_layers(draft: Draft) -> list[int]:
    """Return the source layers of forward edges in order, without repeats in a row."""
    source, target, _ = draft.new_edges()
    layers = LAYOUT.layer_of[source[source < target]].tolist()
    return [layer for i, layer in enumerate(layers) if i == 0 or layer != layers[i - 1]]


def test_sites_are_taken_from_the_source_layers_in_turn() -> None:
    draft = draft_of()
    grown = event(draft, quota=5, rotation=1, cloning={"layers": "none"})
    assert grown == Growth(structures=5, rotation=0)
    assert source_layers(draft) == [1, 2, 0, 1, 2]


def test_layers_without_extrema_are_skipped() -> None:
    extrema = everything()
    extrema.high[LAYOUT.layer(1)] = False
    draft = draft_of()
    assert event(draft, quota=4, extrema=extrema, cloning={"layers": "none"}).structures == 4
    assert set(source_layers(draft)) == {0, 2}


def test_growth_without_targets_counts_nothing() -> None:
    """The original counted growth that never became an edge."""
    extrema = everything()
    extrema.low[:] = False
    draft = draft_of()
    assert event(draft, quota=7, extrema=extrema).structures == 0
    assert draft.grown == 0


def test_growth_stops_when_every_edge_exists() -> None:
    draft = draft_of()
    grown = event(draft, quota=10**6, routing={"incoming": 1000, "reciprocal": 0})
    forward = sum(a * b for i, a in enumerate(LAYOUT.widths) for b in LAYOUT.widths[i + 1 :])
    assert draft.grown == forward
    assert grown.structures < 10**6


def test_a_site_has_as_many_high_units_as_its_size() -> None:
    draft = draft_of()
    event(draft, quota=1, structure={"size": 5}, routing={"reciprocal": 0})
    source, _, _ = draft.new_edges()
    assert len(source.unique()) == 5
    assert 15 <= draft.grown <= 20


@pytest.mark.parametrize("quota", [1, 7, 30])
def test_an_event_that_counts_connections_grows_exactly_its_quota(quota: int) -> None:
    draft = draft_of()
    grown = event(draft, quota=quota, structure={"unit": "connection"})
    assert grown.structures == draft.grown == quota


def test_the_room_limits_an_event_whatever_its_quota() -> None:
    for unit in ("site", "connection"):
        draft = draft_of(room=11)
        event(draft, quota=100, structure={"unit": unit})
        assert draft.grown == 11


def test_every_edge_of_an_event_is_allowed_and_new() -> None:
    draft = draft_of()
    event(draft, quota=40, structure={"size": 3}, routing={"reciprocal": 0.5})
    source, target, weight = draft.new_edges()
    assert len(source) == len(weight) == draft.grown
    assert len(set(zip(source.tolist(), target.tolist(), strict=True))) == draft.grown
    assert (target >= LAYOUT.inputs).all()
    assert (LAYOUT.layer_of[source] != LAYOUT.layer_of[target]).all()
    assert draft.incoming.max() <= 5
