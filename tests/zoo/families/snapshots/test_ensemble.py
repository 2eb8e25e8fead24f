"""Rule 13: the ensemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sdk.families.snapshots import Progressive, answer_progressively, last_of_phases, progressive_way
from zoo.families.snapshots.ensemble import fit_mixture, fit_threshold


def members(*accuracies: float, samples: int = 4000, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities ``[S, N, C]`` of independent members that are right so often, sure when right; and labels."""
    noise = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=noise)
    rows = []
    for accuracy in accuracies:
        right = torch.rand(samples, generator=noise) < accuracy
        wrong = (labels + torch.randint(1, classes, (samples,), generator=noise)) % classes
        answer = torch.where(right, labels, wrong)
        confidence = torch.where(right, 0.9, 0.5)[:, None]
        rest = (1 - confidence) / (classes - 1)
        rows.append(torch.where(torch.arange(classes) == answer[:, None], confidence, rest))
    return torch.stack(rows), labels


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    return float((probabilities.argmax(-1) == labels).float().mean())


def test_the_mixture_is_at_least_as_likely_as_its_best_member() -> None:
    probabilities, labels = members(0.5, 0.8, 0.8)
    mixture = fit_mixture(probabilities, labels)
    mixed = torch.einsum("s,snc->nc", mixture, probabilities)

    def likelihood(p: Tensor) -> float:
        return float(p[torch.arange(len(labels)), labels].log().mean())

    assert likelihood(mixed) >= max(likelihood(p) for p in probabilities)
    assert accuracy(mixed, labels) >= max(accuracy(p, labels) for p in probabilities)


def test_equal_members_share_and_a_useless_one_gets_nothing() -> None:
    probabilities, labels = members(0.8, 0.8, samples=20_000)
    useless = torch.full_like(probabilities[:1], 0.25) * 0.9
    useless[0, torch.arange(len(labels)), (labels + 1) % 4] += 0.1
    mixture = fit_mixture(torch.cat([probabilities, useless]), labels)
    assert mixture[2] == 0
    assert mixture[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert mixture.sum().item() == pytest.approx(1)


def test_one_member_has_all_the_weight() -> None:
    assert fit_mixture(*members(0.7)).tolist() == [1.0]


def test_progressive_asks_the_last_snapshot_of_each_phase() -> None:
    assert last_of_phases(["coarse", "coarse", "medium", "fine", "fine"]) == [1, 2, 4]
    assert last_of_phases([2]) == [0]


def test_progressive_stops_where_it_is_sure_and_counts_what_it_spent() -> None:
    probabilities = np.array(
        [[[0.95, 0.05], [0.6, 0.4]], [[0.0, 1.0], [0.0, 1.0]], [[0.3, 0.7], [0.1, 0.9]]], np.float32
    )
    asked: list[tuple[int, list[int]]] = []

    def member(number: int, rows: np.ndarray) -> np.ndarray:
        asked.append((number, rows.tolist()))
        return probabilities[number, rows]

    found = answer_progressively(member, [0, 2], [10, 100, 1000], 0.9, 2)
    assert asked == [(0, [0, 1]), (2, [1])]
    assert found.snapshot.tolist() == [0, 2]
    assert found.edges.tolist() == [10, 1010]
    assert found.probabilities.tolist() == [probabilities[0, 0].tolist(), probabilities[2, 1].tolist()]


def test_whoever_stays_unsure_gets_the_last_answer() -> None:
    probabilities = np.full((2, 3, 2), 0.5, np.float32)
    found = answer_progressively(lambda number, rows: probabilities[number, rows], [0, 1], [1, 2], 0.9, 3)
    assert found.snapshot.tolist() == [1, 1, 1]
    assert found.edges.tolist() == [3, 3, 3]


def test_the_threshold_spends_the_fewest_edges_for_the_accuracy_it_may_lose() -> None:
    probabilities, labels = members(0.7, 0.95)
    mixture = torch.tensor([0.0, 1.0])
    strict = fit_threshold(probabilities, labels, mixture, [0, 1], [1, 100], loss=0.0)
    loose = fit_threshold(probabilities, labels, mixture, [0, 1], [1, 100], loss=1.0)
    assert 0.5 <= strict < 0.9  # the answers of the first that it is sure of are right
    assert loose == 0


def test_where_no_early_answer_is_good_enough_it_never_stops_early() -> None:
    labels = torch.zeros(100, dtype=torch.int64)
    sure_and_wrong = torch.tensor([0.0, 1.0]).expand(100, 2)
    right = torch.tensor([0.9, 0.1]).expand(100, 2)
    threshold = fit_threshold(torch.stack([sure_and_wrong, right]), labels, torch.tensor([0.0, 1.0]), [0, 1], [1, 9], 0)
    assert threshold == 1


def test_with_weights_everyone_who_has_one_is_asked() -> None:
    assert progressive_way(["coarse", "medium", "medium", "fine", "fine"], [0.0, 0.3, 0.0, 0.0, 0.7]) == [0, 1, 2, 4]


def test_a_mixing_progressive_answer_is_the_mixture_of_those_asked() -> None:
    probabilities, _ = members(0.5, 0.6, 0.8)
    weights = [0.2, 0.3, 0.5]

    def ask(threshold: float) -> Progressive:
        asked = probabilities.numpy()
        return answer_progressively(lambda n, rows: asked[n, rows], [0, 1, 2], [1, 10, 100], threshold, 4000, weights)

    everyone = ask(1.0)
    np.testing.assert_allclose(everyone.probabilities, np.einsum("s,snc->nc", weights, probabilities), rtol=1e-5)
    assert set(everyone.edges.tolist()) == {111}
    some = ask(0.55)
    stopped = some.snapshot == 1  # the first two were asked
    expected = (0.2 * probabilities[0] + 0.3 * probabilities[1]).numpy()[stopped] / 0.5
    assert stopped.any()
    np.testing.assert_allclose(some.probabilities[stopped], expected, rtol=1e-5)
    assert (some.probabilities[stopped].max(-1) > 0.55).all()


def test_who_has_no_weight_answers_only_until_one_who_has_is_asked() -> None:
    probabilities = np.array([[[0.8, 0.2]], [[0.1, 0.9]]], np.float32)
    for threshold, answer in ((0.5, [0.8, 0.2]), (0.8, [0.1, 0.9])):
        found = answer_progressively(lambda n, rows: probabilities[n, rows], [0, 1], [1, 2], threshold, 1, [0.0, 1.0])
        assert found.probabilities[0].tolist() == pytest.approx(answer, abs=1e-5)


def test_mixing_on_the_way_reaches_the_ensemble_for_fewer_edges() -> None:
    probabilities, labels = members(0.7, 0.7, 0.7)
    mixture = fit_mixture(probabilities, labels)
    threshold = fit_threshold(probabilities, labels, mixture, [0, 1, 2], [1, 1, 1], 0.0, mixing=True)
    weights = mixture.tolist()
    found = answer_progressively(
        lambda n, rows: probabilities.numpy()[n, rows], [0, 1, 2], [1, 1, 1], threshold, len(labels), weights
    )
    weighted = accuracy(torch.einsum("s,snc->nc", mixture, probabilities), labels)
    assert accuracy(torch.from_numpy(found.probabilities), labels) >= weighted > accuracy(probabilities[0], labels)
    assert found.edges.mean() < 3


def test_a_temperature_makes_the_weights_more_even_and_brings_nobody_back() -> None:
    probabilities, labels = members(0.7, 0.9)
    useless = torch.full_like(probabilities[:1], 0.01)
    useless[0, torch.arange(len(labels)), (labels + 1) % 4] = 0.97
    sharp, even = (fit_mixture(torch.cat([probabilities, useless]), labels, t) for t in (1, 2))
    assert sharp[0] < sharp[1]
    assert sharp[0] < even[0] < even[1]
    assert even[2] == 0
    assert (even[0] / even[1]).item() == pytest.approx(float(sharp[0] / sharp[1]) ** 0.5, rel=1e-4)
    assert even.sum().item() == pytest.approx(1)
