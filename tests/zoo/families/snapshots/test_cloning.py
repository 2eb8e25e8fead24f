"""Rule 5: cloning."""

from __future__ import annotations

import pytest
import torch

from zoo.families.snapshots.cloning import clone, least_connected
from zoo.families.snapshots.config import CloningConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.layout import Layout

LAYOUT = Layout((6, 5, 4, 3))  # units 0-5, 6-10, 11-14, 15-17


def draft_of(edges: dict[tuple[int, int], float], room: int = 100) -> Draft:
    pairs = torch.tensor(list(edges), dtype=torch.int64).reshape(-1, 2)
    return Draft(LAYOUT, pairs[:, 0], pairs[:, 1], torch.tensor(list(edges.values())), room)


def grown(draft: Draft) -> dict[tuple[int, int], float]:
    source, target, weight = draft.new_edges()
    return dict(zip(zip(source.tolist(), target.tolist(), strict=True), weight.tolist(), strict=True))


def test_a_clone_in_the_next_layer_gets_its_forward_edges_at_seven_tenths_of_their_weight() -> None:
    draft = draft_of({(0, 6): 1.0, (2, 6): -2.0, (6, 11): 3.0, (6, 15): 4.0})
    (copy,) = clone(draft, 6, CloningConfig())
    assert LAYOUT.layer_of[copy] == 2
    assert copy != 11  # the least connected, not one with edges
    assert grown(draft) == pytest.approx({(0, copy): 0.7, (2, copy): -1.4, (copy, 15): 2.8})


def test_a_clone_gets_no_copy_of_a_pruned_edge() -> None:
    draft = draft_of({(0, 6): 0.0, (2, 6): 1.0})
    (copy,) = clone(draft, 6, CloningConfig())
    assert grown(draft) == pytest.approx({(2, copy): 0.7})


def test_a_clone_in_the_previous_layer_gets_no_edges_from_its_own_layer() -> None:
    draft = draft_of({(0, 12): 1.0, (7, 12): 2.0, (12, 16): 3.0})
    (copy,) = clone(draft, 12, CloningConfig())
    assert LAYOUT.layer_of[copy] == 1
    assert grown(draft) == pytest.approx({(0, copy): 0.7, (copy, 16): 2.1})


def test_the_original_unit_retains_its_edges() -> None:
    edges = {(0, 6): 1.0, (6, 15): 4.0}
    draft = draft_of(edges)
    clone(draft, 6, CloningConfig())
    assert {pair: draft.weights[pair] for pair in edges} == edges


@pytest.mark.parametrize("unit", [0, 15])
def test_inputs_and_classes_are_not_cloned(unit: int) -> None:
    draft = draft_of({(0, 6): 1.0, (6, 15): 1.0})
    assert clone(draft, unit, CloningConfig()) == []
    assert draft.grown == 0


def test_a_unit_without_edges_is_not_cloned() -> None:
    assert clone(draft_of({}), 6, CloningConfig()) == []


def test_cloning_can_be_limited_to_the_next_layer_or_switched_off() -> None:
    wide = Layout((2, 3, 3, 3, 2))  # unit 5 has hidden layers on both sides
    pairs = torch.tensor([[0, 5], [5, 11]])
    for layers, count in (("both", 2), ("next", 1), ("none", 0)):
        draft = Draft(wide, pairs[:, 0], pairs[:, 1], torch.ones(2), 100)
        assert len(clone(draft, 5, CloningConfig(layers=layers))) == count


def test_clones_go_to_a_dormant_unit_or_else_the_least_connected() -> None:
    edges = {(0, unit): 1.0 for unit in range(6, 11)} | {(1, unit): 1.0 for unit in (6, 7, 9, 10)}
    assert least_connected(draft_of(edges), 1) == 8
    del edges[0, 9], edges[1, 9]
    assert least_connected(draft_of(edges), 1) == 9


def test_cloning_never_exceeds_the_room() -> None:
    draft = draft_of({(0, 6): 1.0, (1, 6): 1.0, (6, 15): 1.0}, room=2)
    clone(draft, 6, CloningConfig())
    assert draft.grown == 2
