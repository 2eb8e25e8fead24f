"""The trace of a snapshots network: each snapshot's answer, and that of the ensemble so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.model import softmax

_TINY = np.float32(1e-30)


class SnapshotsTrace(NamedTuple):
    """The answers of ``S`` snapshots, oldest first; for one input, without the B axis."""

    members: NDArray[np.float32]
    """``[S, B, classes]``: the logits of each snapshot alone."""
    logits: NDArray[np.float32]
    """``[S, B, classes]``: log-probabilities of the weighted ensemble of the snapshots so far (of the snapshot alone,
    as long as none has a weight); the last are :meth:`Model.logits`."""

    def __repr__(self) -> str:
        count, *batch, classes = self.members.shape
        inputs = f"{batch[0]} inputs" if batch else "one input"
        return f"<SnapshotsTrace: {count} snapshots, {inputs}, {classes} classes>"


def trace_of(members: NDArray[np.float32], weights: Sequence[float], answer: NDArray[np.float32]) -> SnapshotsTrace:
    """Return the trace of snapshots' logits ``[S, B, classes]`` with their weights ``[S]`` in the ensemble.

    ``answer [B, classes]`` is the whole ensemble's, whose own weights have more digits than those recorded.
    """
    probabilities = softmax(members)
    shares = np.asarray(weights)[:, None, None]
    total = np.cumsum(shares, axis=0)
    mixed = np.cumsum(shares * probabilities, axis=0) / np.maximum(total, _TINY)
    logits = np.log(np.where(total > 0, mixed, probabilities) + _TINY).astype(np.float32)
    logits[-1] = answer
    return SnapshotsTrace(members, logits)
