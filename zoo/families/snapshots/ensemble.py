"""Rule 13: the weighted ensemble and the threshold of progressive answers, both fitted on validation data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdk.families.snapshots import answer_progressively, last_of_phases

_THRESHOLDS = 200
_NEGLIGIBLE = 1e-3


def fit_mixture(probabilities: Tensor, labels: Tensor, rounds: int = 200) -> Tensor:
    """Weights ``[S]`` of the mixture of probabilities ``[S, N, C]`` under which the labels ``[N]`` are likeliest.

    Expectation maximisation, from equal weights; what is negligible becomes 0.
    """
    likelihood = probabilities.double()[:, torch.arange(len(labels)), labels] + 1e-12
    weights = torch.full((len(likelihood),), 1 / len(likelihood), dtype=torch.float64)
    for _ in range(rounds):
        shares = weights[:, None] * likelihood
        weights = (shares / shares.sum(0)).mean(1)
    weights = torch.where(weights < _NEGLIGIBLE, 0.0, weights)
    return (weights / weights.sum()).float()


def fit_threshold(
    probabilities: Tensor, labels: Tensor, mixture: Tensor, phases: list[int], costs: list[int], loss: float
) -> float:
    """The confidence in [0, 1] at which progressive answers spend the fewest edges.

    They may be right on ``loss`` fewer of the samples than the weighted ensemble; where none are, they never stop
    early. ``probabilities [S, N, C]``, ``labels [N]``; ``phases`` and ``costs`` are those of the snapshots.
    """
    members, truth = probabilities.numpy(), labels.numpy()
    weighted = (np.einsum("s,snc->nc", mixture.numpy(), members).argmax(-1) == truth).mean()
    way = last_of_phases(phases)
    best, least = 1.0, float("inf")
    for threshold in np.linspace(0, 1, _THRESHOLDS + 1).tolist():
        found = answer_progressively(lambda number, rows: members[number, rows], way, costs, threshold, len(truth))
        accuracy = (found.probabilities.argmax(-1) == truth).mean()
        if accuracy >= weighted - loss and found.edges.mean() < least:
            best, least = threshold, float(found.edges.mean())
    return best
