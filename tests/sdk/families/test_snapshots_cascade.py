"""The cascade of progressive answers."""

from __future__ import annotations

import numpy as np
import pytest

from sdk.families.snapshots import Progressive, answer_progressively, cascade_of, last_of_phases
from tests.support.snapshots import members


def test_the_cascade_runs_the_last_snapshot_of_each_phase() -> None:
    assert last_of_phases(["coarse", "coarse", "medium", "fine", "fine"]) == [1, 2, 4]
    assert last_of_phases([2]) == [0]


def test_given_weights_the_cascade_also_runs_every_weighted_snapshot() -> None:
    assert cascade_of(["coarse", "medium", "medium", "fine", "fine"], [0.0, 0.3, 0.0, 0.0, 0.7]) == [0, 1, 2, 4]


def test_the_cascade_stops_at_a_confident_answer_and_counts_the_edges_spent() -> None:
    probabilities = np.array(
        [[[0.95, 0.05], [0.6, 0.4]], [[0.0, 1.0], [0.0, 1.0]], [[0.3, 0.7], [0.1, 0.9]]], np.float32
    )
    ran: list[tuple[int, list[int]]] = []

    def member(number: int, rows: np.ndarray) -> np.ndarray:
        ran.append((number, rows.tolist()))
        return probabilities[number, rows]

    found = answer_progressively(member, [0, 2], [10, 100, 1000], 0.9, 2)
    assert ran == [(0, [0, 1]), (2, [1])]
    assert found.snapshot.tolist() == [0, 2]
    assert found.edges.tolist() == [10, 1010]
    assert found.probabilities.tolist() == [probabilities[0, 0].tolist(), probabilities[2, 1].tolist()]


def test_samples_that_never_reach_the_threshold_get_the_last_members_answer() -> None:
    probabilities = np.full((2, 3, 2), 0.5, np.float32)
    found = answer_progressively(lambda number, rows: probabilities[number, rows], [0, 1], [1, 2], 0.9, 3)
    assert found.snapshot.tolist() == [1, 1, 1]
    assert found.edges.tolist() == [3, 3, 3]


def test_a_mixing_cascade_answers_with_the_mixture_of_the_members_run() -> None:
    probabilities, _ = members(0.5, 0.6, 0.8)
    weights = [0.2, 0.3, 0.5]

    def run(threshold: float) -> Progressive:
        own = probabilities.numpy()
        return answer_progressively(lambda n, rows: own[n, rows], [0, 1, 2], [1, 10, 100], threshold, 4000, weights)

    full = run(1.0)
    np.testing.assert_allclose(full.probabilities, np.einsum("s,snc->nc", weights, probabilities), rtol=1e-5)
    assert set(full.edges.tolist()) == {111}
    early = run(0.55)
    stopped = early.snapshot == 1  # after two members
    expected = (0.2 * probabilities[0] + 0.3 * probabilities[1]).numpy()[stopped] / 0.5
    assert stopped.any()
    np.testing.assert_allclose(early.probabilities[stopped], expected, rtol=1e-5)
    assert (early.probabilities[stopped].max(-1) > 0.55).all()


def test_an_unweighted_member_answers_only_until_a_weighted_one_runs() -> None:
    probabilities = np.array([[[0.8, 0.2]], [[0.1, 0.9]]], np.float32)
    for threshold, answer in ((0.5, [0.8, 0.2]), (0.8, [0.1, 0.9])):
        found = answer_progressively(lambda n, rows: probabilities[n, rows], [0, 1], [1, 2], threshold, 1, [0.0, 1.0])
        assert found.probabilities[0].tolist() == pytest.approx(answer, abs=1e-5)
