"""Topologies: the edges they make, and the steps that the input needs along them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from zoo.families.cellnet.topology import Topology, arrival_steps, edges_of


def edges(cells: int, **topology: Any) -> list[tuple[int, int]]:
    return edges_of(TypeAdapter(Topology).validate_python(topology), cells)


@given(cells=st.integers(2, 20))
def test_full_has_every_ordered_pair_of_different_cells_once(cells: int) -> None:
    found = edges(cells, name="full")
    assert len(found) == len(set(found)) == cells * (cells - 1)
    assert all(source != target for source, target in found)


def test_edges_are_ordered_by_target() -> None:
    assert edges(3, name="full") == [(1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2)]


def test_a_ring_connects_the_neighbours_on_both_sides() -> None:
    assert edges(5, name="ring") == [(1, 0), (4, 0), (0, 1), (2, 1), (1, 2), (3, 2), (2, 3), (4, 3), (0, 4), (3, 4)]
    assert edges(5, name="ring", reach=2) == edges(5, name="full")
    assert edges(2, name="ring", reach=9) == edges(2, name="full")


def test_clusters_are_dense_inside_and_joined_by_bridges_from_last_to_first() -> None:
    found = edges(6, name="clusters", size=3, bridges=2)
    inside = {
        (a, b) for start in (0, 3) for a, _ in enumerate(range(3), start) for b in range(start, start + 3) if a != b
    }
    assert {(a, b) for a, b in found if a // 3 == b // 3} == inside
    assert {(a, b) for a, b in found if a // 3 != b // 3} == {(2, 3), (1, 4), (5, 0), (4, 1)}


@given(clusters=st.integers(1, 5), size=st.integers(1, 5), bridges=st.integers(1, 5))
def test_clusters_have_the_expected_number_of_edges(clusters: int, size: int, bridges: int) -> None:
    if bridges > size:
        return
    found = edges(clusters * size, name="clusters", size=size, bridges=bridges)
    assert len(found) == clusters * size * (size - 1) + clusters * (clusters - 1) * bridges


def test_explicit_edges_are_only_sorted() -> None:
    assert edges(4, name="explicit", edges=[(3, 1), (0, 3), (0, 1)]) == [(0, 1), (3, 1), (0, 3)]


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ({"name": "clusters", "size": 3}, "topology.size 3 must divide the 4 cells"),
        ({"name": "clusters", "size": 2, "bridges": 3}, "topology.bridges 3 must not exceed the size of a cluster, 2"),
        ({"name": "explicit", "edges": [(0, 4)]}, r"topology.edges lists \[0, 4\], expected cells from 0 to 3"),
        ({"name": "explicit", "edges": [(1, 1)]}, r"topology.edges lists \[1, 1\], expected two different cells"),
        ({"name": "explicit", "edges": [(0, 1), (0, 1)]}, "must list each edge once"),
    ],
)
def test_a_topology_that_does_not_fit_the_cells_is_refused(topology: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edges(4, **topology)


def test_information_travels_one_edge_per_step() -> None:
    line = edges(5, name="explicit", edges=[(0, 1), (1, 2), (2, 3), (4, 0)])
    assert arrival_steps(line, 5, in_cells=1) == [1, 2, 3, 4, None]
    assert arrival_steps(edges(8, name="ring"), 8, in_cells=2) == [1, 1, 2, 3, 4, 4, 3, 2]
