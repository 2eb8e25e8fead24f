"""Rules 4, 9 and 11: routing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.snapshots import reached_by_input
from zoo.families.snapshots.config import RoutingConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.extrema import Extrema
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.routing import Router, gradient_scores, length_preference, random_scores

LAYOUT = Layout((6, 5, 4, 3))  # units 0-5, 6-10, 11-14, 15-17
Pairs = list[tuple[int, int]]


def mask(*units: int) -> Tensor:
    chosen = torch.zeros(LAYOUT.units, dtype=torch.bool)
    chosen[list(units)] = True
    return chosen


def draft_of(*edges: tuple[int, int], room: int = 100) -> Draft:
    pairs = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2)
    return Draft(LAYOUT, pairs[:, 0], pairs[:, 1], torch.ones(len(pairs)), room)


def router(
    draft: Draft, high: Tensor, low: Tensor, scores: Tensor | None = None, longer: int = 0, **options: Any
) -> Router:
    config = RoutingConfig(**{"reciprocal": 0, **options})
    return Router(draft, Extrema(high, low), config, random_scores(LAYOUT.units) if scores is None else scores, longer)


def new(draft: Draft) -> Pairs:
    source, target, _ = draft.new_edges()
    return list(zip(source.tolist(), target.tolist(), strict=True))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_edges_go_from_high_units_to_low_units_of_layers_ahead(layer: int) -> None:
    high, low = mask(1, 7, 12), mask(2, 6, 8, 11, 13, 15, 17)
    draft = draft_of()
    used = router(draft, high, low).route(layer, set())
    assert used == [1, 7, 12][layer]
    assert new(draft)
    for source, target in new(draft):
        assert source == used
        assert low[target]
        assert LAYOUT.layer_of[target] > layer


def test_edges_reach_every_layer_ahead_within_the_reach() -> None:
    """The original was off by one: it never reached the last layer within its reach, nor the output."""
    low = mask(6, 11, 15)
    for reach, targets in ((1, {6}), (2, {6, 11}), (3, {6, 11, 15}), (9, {6, 11, 15})):
        draft = draft_of()
        router(draft, mask(0), low, reach=reach, fan_out=(3, 3)).route(0, set())
        assert {target for _, target in new(draft)} == targets


def test_the_layer_before_the_output_routes_to_the_output() -> None:
    draft = draft_of()
    router(draft, mask(11), mask(16), reach=1).route(2, set())
    assert new(draft) == [(11, 16)]


def test_fan_out_is_three_to_four() -> None:
    counts = set()
    for _ in range(30):
        draft = draft_of()
        router(draft, mask(0), mask(6, 7, 8, 9, 10, 11)).route(0, set())
        counts.add(draft.grown)
    assert counts == {3, 4}


def test_new_weights_are_normal_with_a_standard_deviation_of_a_tenth() -> None:
    draft = draft_of()
    route = router(draft, mask(0, 1, 2, 3, 4, 5), mask(6, 7, 8, 9, 10), incoming=10, fan_out=(5, 5))
    for _ in range(6):
        route.route(0, set())
    weights = draft.new_edges()[2]
    assert len(weights) == 30
    assert weights.std().item() == pytest.approx(0.1, rel=0.4)


def test_existing_edges_keep_their_weight_and_do_not_count() -> None:
    draft = draft_of((0, 6), (0, 7))
    assert router(draft, mask(0), mask(6, 7)).route(0, set()) is None
    assert draft.grown == 0
    assert draft.weights == {(0, 6): 1.0, (0, 7): 1.0}


def test_only_the_missing_edges_of_a_fan_out_are_laid() -> None:
    draft = draft_of((0, 6), (0, 7))
    router(draft, mask(0), mask(6, 7, 8)).route(0, set())
    assert new(draft) == [(0, 8)]


def test_a_low_unit_takes_at_most_five_new_edges_per_event() -> None:
    draft = draft_of()
    route = router(draft, mask(*range(6)), mask(6))
    laid = [route.route(0, set()) for _ in range(6)]
    assert len(set(laid[:5])) == draft.grown == 5
    assert laid[5] is None


def test_a_used_source_is_not_routed_again() -> None:
    draft = draft_of()
    route = router(draft, mask(0, 1), mask(6, 7, 8, 9, 10, 11, 12, 13))
    assert {route.route(0, set()), route.route(0, {0, 1})} <= {0, 1, None}
    assert route.route(0, {0, 1}) is None


def test_the_room_is_never_exceeded() -> None:
    draft = draft_of(room=2)
    router(draft, mask(0), mask(6, 7, 8, 9)).route(0, set())
    assert draft.grown == 2
    assert draft.full


def test_reciprocal_edges_lead_back_but_never_into_the_input() -> None:
    draft = draft_of()
    route = router(draft, mask(0, 6), mask(11, 12, 13, 15), reciprocal=1.0)
    route.route(1, set())
    forward = [(s, t) for s, t in new(draft) if s == 6]
    assert sorted(new(draft)) == sorted(forward + [(t, s) for s, t in forward])
    before = draft.grown
    route.route(0, set())
    assert all(target >= LAYOUT.inputs for _, target in new(draft)[before:])


def test_reciprocal_edges_can_be_switched_off() -> None:
    draft = draft_of()
    router(draft, mask(6), mask(11, 12, 13, 15)).route(1, set())
    assert all(source < target for source, target in new(draft))


def test_the_missing_edge_with_the_largest_gradient_is_laid_first() -> None:
    gradient = torch.zeros(LAYOUT.units, LAYOUT.units)
    gradient[2, 8], gradient[2, 15], gradient[3, 9] = -5.0, 1.0, 2.0
    draft = draft_of()
    scores = gradient_scores(gradient, torch.ones(LAYOUT.units))
    route = router(draft, mask(1, 2, 3), mask(7, 8, 9, 15), scores, fan_out=(2, 2))
    assert route.route(0, set()) == 2
    assert set(new(draft)) == {(2, 8), (2, 15)}
    assert route.route(0, {2}) == 3


def test_targets_without_a_gradient_are_filled_one_after_the_other() -> None:
    """A recruited unit should get several inputs, instead of many units getting one each."""
    scores = gradient_scores(torch.zeros(LAYOUT.units, LAYOUT.units), torch.ones(LAYOUT.units))
    favourite = scores.sum(0)[6:11].argmax() + 6
    draft = draft_of()
    route = router(draft, mask(0, 1, 2, 3, 4, 5), mask(6, 7, 8, 9, 10), scores, fan_out=(2, 2))
    for _ in range(4):
        route.route(0, set())
    assert draft.incoming[favourite] >= 3


@pytest.mark.parametrize(("longer", "target"), [(1, 15), (-1, 6)])
def test_the_length_preference_selects_long_or_short_edges(longer: int, target: int) -> None:
    draft = draft_of()
    router(draft, mask(0), mask(6, 11, 15), longer=longer, fan_out=(1, 1)).route(0, set())
    assert new(draft) == [(0, target)]


def test_length_is_preferred_in_the_first_and_last_phase_if_enabled() -> None:
    on, off = RoutingConfig(scales=True), RoutingConfig()
    assert [length_preference(phase, 3, on) for phase in range(3)] == [1, 0, -1]
    assert [length_preference(phase, 3, off) for phase in range(3)] == [0, 0, 0]
    assert length_preference(0, 1, on) == 0


def test_completed_edges_lie_on_a_path_from_a_high_input_to_a_class() -> None:
    """The original connected units that never reached a class."""
    high, low = mask(1, 7), mask(8, 12, 13)
    for layer in (0, 1):
        draft = draft_of()
        router(draft, high, low, complete=True).route(layer, set())
        for source, target in new(draft):
            assert reached_by_input(draft)[source]
            assert draft.reaches_output()[target]


def test_without_completion_a_routed_unit_may_not_reach_the_output() -> None:
    draft = draft_of()
    router(draft, mask(1), mask(8)).route(0, set())
    assert not draft.reaches_output()[8]


def test_recruited_units_lead_to_the_unit_that_scores_best_for_their_source() -> None:
    """A dormant unit has no gradient ahead: by their own scores, all recruited units would join the same unit."""
    scores = torch.zeros(LAYOUT.units, LAYOUT.units)
    for source, target, wanted in ((1, 8, 16), (2, 9, 17)):
        scores[source, target], scores[source, wanted] = 1.0, 0.5
    draft = draft_of()
    routing = router(draft, mask(1, 2), mask(8, 9), scores, reach=1, complete=True, fan_out=(1, 1))
    assert {routing.route(0, set()), routing.route(0, {1})} == {1, 2}
    assert set(new(draft)) == {(1, 8), (8, 16), (2, 9), (9, 17)}
