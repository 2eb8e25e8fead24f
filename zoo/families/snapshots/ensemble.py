"""Rule 13: the weighted ensemble and the threshold of progressive answers, both fitted on validation data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdk.families.snapshots import answer_progressively, progressive_way

_THRESHOLDS = 200
_NEGLIGIBLE = 1e-3


def fit_mixture(probabilities: Tensor, labels: Tensor, temperature: float = 1, rounds: int = 200) -> Tensor:
    """Weights ``[S]`` of the mixture of probabilities ``[S, N, C]`` under which the labels ``[N]`` are likeliest.

    Expectation maximisation, from equal weights; what is negligible becomes 0. The likeliest mixture leans on the
    best calibrated member; a ``temperature`` above 1 makes the weights, to the power of its inverse, more even.
    """
    likelihood = probabilities.double()[:, torch.arange(len(labels)), labels] + 1e-12
    weights = torch.full((len(likelihood),), 1 / len(likelihood), dtype=torch.float64)
    for _ in range(rounds):
        shares = weights[:, None] * likelihood
        weights = (shares / shares.sum(0)).mean(1)
    weights = torch.where(weights < _NEGLIGIBLE, 0.0, weights) ** (1 / temperature)
    return (weights / weights.sum()).float()


def fit_threshold(
    probabilities: Tensor,
    labels: Tensor,
    mixture: Tensor,
    phases: list[int],
    costs: list[int],
    loss: float,
    mixing: bool = False,
) -> float:
    """The confidence in [0, 1] at which progressive answers spend the fewest edges.

    They may be right on ``loss`` fewer of the samples than the weighted ensemble; where none are, they never stop
    early. ``probabilities [S, N, C]``, ``labels [N]``; ``phases`` and ``costs`` are those of the snapshots.
    ``mixing``: progressive answers are mixtures of those asked, with the weights of ``mixture``.
    """
    members, truth = probabilities.numpy(), labels.numpy()
    weighted = (np.einsum("s,snc->nc", mixture.numpy(), members).argmax(-1) == truth).mean()
    weights = mixture.tolist() if mixing else None
    way = progressive_way(phases, weights)
    best, least = 1.0, float("inf")
    for threshold in np.linspace(0, 1, _THRESHOLDS + 1).tolist():
        found = answer_progressively(
            lambda number, rows: members[number, rows], way, costs, threshold, len(truth), weights
        )
        accuracy = (found.probabilities.argmax(-1) == truth).mean()
        if accuracy >= weighted - loss and found.edges.mean() < least:
            best, least = threshold, float(found.edges.mean())
    return best
