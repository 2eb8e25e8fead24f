"""Accuracy of models that can answer early: after each step, or by each of their members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.families.cellnet import CellnetModel
from sdk.families.snapshots import SnapshotsModel
from sdk.model import Model


def early_answers(model: Model, raw: NDArray[Any], labels: NDArray[np.int64]) -> list[dict[str, float]]:
    """Return the accuracy after each of twice the usual steps, or by each snapshot; empty for all other models.

    ``raw`` are unprepared inputs ``[N, *shape]``.
    """

    def accuracy(logits: NDArray[np.float32]) -> float:
        return round(float((logits.argmax(-1) == labels).mean()), 4)

    if isinstance(model, CellnetModel):
        return [
            {"steps": steps, "accuracy": accuracy(model.logits(raw, steps=steps, invert=False, batch=True))}
            for steps in range(1, 2 * model.steps + 1)
        ]
    if isinstance(model, SnapshotsModel):
        return [
            {"snapshot": one.number, "edges": one.edges,
             "accuracy": accuracy(model.logits(raw, mode=one.number, invert=False, batch=True))}
            for one in model.snapshots
        ]  # fmt: skip
    return []
