"""Rule 13: fitting the ensemble's weights and the cascade's threshold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sdk.families.snapshots import answer_progressively
from tests.support.snapshots import accuracy, members
from zoo.families.snapshots.ensemble import fit_mixture, fit_threshold


def test_the_mixture_is_at_least_as_good_as_its_best_member() -> None:
    probabilities, labels = members(0.5, 0.8, 0.8)
    mixture = fit_mixture(probabilities, labels)
    mixed = torch.einsum("s,snc->nc", mixture, probabilities)

    def likelihood(p: Tensor) -> float:
        return float(p[torch.arange(len(labels)), labels].log().mean())

    assert likelihood(mixed) >= max(likelihood(p) for p in probabilities)
    assert accuracy(mixed, labels) >= max(accuracy(p, labels) for p in probabilities)


def test_equal_members_share_the_weight_and_a_useless_one_gets_none() -> None:
    probabilities, labels = members(0.8, 0.8, samples=20_000)
    useless = torch.full_like(probabilities[:1], 0.25) * 0.9
    useless[0, torch.arange(len(labels)), (labels + 1) % 4] += 0.1
    mixture = fit_mixture(torch.cat([probabilities, useless]), labels)
    assert mixture[2] == 0
    assert mixture[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert mixture.sum().item() == pytest.approx(1)


def test_a_single_member_has_all_the_weight() -> None:
    assert fit_mixture(*members(0.7)).tolist() == [1.0]


def test_the_threshold_spends_the_fewest_edges_within_the_allowed_loss() -> None:
    probabilities, labels = members(0.7, 0.95)
    mixture = torch.tensor([0.0, 1.0])
    strict = fit_threshold(probabilities, labels, mixture, [0, 1], [1, 100], loss=0.0)
    loose = fit_threshold(probabilities, labels, mixture, [0, 1], [1, 100], loss=1.0)
    assert 0.5 <= strict < 0.9  # the first member's confident answers are right
    assert loose == 0


def test_the_cascade_never_stops_early_if_no_early_answer_is_good_enough() -> None:
    labels = torch.zeros(100, dtype=torch.int64)
    wrong = torch.tensor([0.0, 1.0]).expand(100, 2)
    right = torch.tensor([0.9, 0.1]).expand(100, 2)
    threshold = fit_threshold(torch.stack([wrong, right]), labels, torch.tensor([0.0, 1.0]), [0, 1], [1, 9], 0)
    assert threshold == 1


def test_a_mixing_cascade_matches_the_ensemble_for_fewer_edges() -> None:
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


def test_a_temperature_evens_out_the_weights_and_revives_no_useless_member() -> None:
    probabilities, labels = members(0.7, 0.9)
    useless = torch.full_like(probabilities[:1], 0.01)
    useless[0, torch.arange(len(labels)), (labels + 1) % 4] = 0.97
    sharp, even = (fit_mixture(torch.cat([probabilities, useless]), labels, t) for t in (1, 2))
    assert sharp[0] < sharp[1]
    assert sharp[0] < even[0] < even[1]
    assert even[2] == 0
    assert (even[0] / even[1]).item() == pytest.approx(float(sharp[0] / sharp[1]) ** 0.5, rel=1e-4)
    assert even.sum().item() == pytest.approx(1)
