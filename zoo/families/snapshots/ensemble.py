"""Rule 13: weights of the ensemble and confidence threshold of the cascade, both fitted on validation data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdk.families.snapshots import answer_progressively, cascade_of

_THRESHOLDS = 200
_NEGLIGIBLE = 1e-3


def fit_mixture(probabilities: Tensor, labels: Tensor, temperature: float = 1, rounds: int = 200) -> Tensor:
    """Return weights ``[S]`` under which the mixture of probabilities ``[S, N, C]`` makes the labels ``[N]`` likeliest.

    Expectation maximisation from equal weights; negligible weights become 0. The likeliest mixture favours the best
    calibrated member; a ``temperature`` above 1 raises the weights to the power of its inverse, which evens them out.
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
    """Return the confidence threshold in [0, 1] at which the cascade spends the fewest edges.

    The cascade's accuracy may be up to ``loss`` below the weighted ensemble's; if no threshold achieves that, the
    result is 1, at which it never stops early. ``probabilities [S, N, C]``, ``labels [N]``; ``phases`` and ``costs``
    are those of the snapshots. ``mixing``: answers are mixtures of the members run so far, weighted by ``mixture``.
    """
    members, truth = probabilities.numpy(), labels.numpy()
    weighted = (np.einsum("s,snc->nc", mixture.numpy(), members).argmax(-1) == truth).mean()
    weights = mixture.tolist() if mixing else None
    cascade = cascade_of(phases, weights)
    best, least = 1.0, float("inf")
    for threshold in np.linspace(0, 1, _THRESHOLDS + 1).tolist():
        found = answer_progressively(
            lambda number, rows: members[number, rows], cascade, costs, threshold, len(truth), weights
        )
        accuracy = (found.probabilities.argmax(-1) == truth).mean()
        if accuracy >= weighted - loss and found.edges.mean() < least:
            best, least = threshold, float(found.edges.mean())
    return best
