"""A loaded multi-scale snapshots network: its weighted ensemble, its snapshots alone, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import ArtifactConfig
from sdk.errors import ArtifactError, InputError
from sdk.inputs import FloatArray
from sdk.model import Model, softmax
from sdk.validation import check_keys, check_list, check_positive, check_type, describe

WEIGHTED, PROGRESSIVE, FINAL = "weighted", "progressive", "final"
_TINY = np.float32(1e-30)
_LEAST = 1e-6
"""What a snapshot without a weight counts for in a mixture: its answer stands until one with a weight is asked."""
_FIELDS: dict[str, type] = {
    "phase": str,
    "epoch": int,
    "edges": int,
    "cost": int,
    "weight": float,
    "validation_accuracy": float,
}


@dataclass(frozen=True)
class SnapshotInfo:
    """One snapshot of the training."""

    number: int
    """From 0, the oldest; a ``mode`` of :meth:`SnapshotsModel.predict`."""
    phase: str
    epoch: int
    edges: int
    cost: int
    """Edges computed per sample: more than there are when some lead back and several sweeps are made."""
    weight: float
    """Its share of the weighted ensemble."""
    validation_accuracy: float


@dataclass(frozen=True)
class Progressive:
    """Answers from no more snapshots than it takes to be sure enough, from coarse to fine, sample by sample."""

    probabilities: NDArray[np.float32]
    """``[B, classes]``."""
    snapshot: NDArray[np.int64]
    """The number of the snapshot that was asked last, ``[B]``."""
    edges: NDArray[np.int64]
    """The edges computed on the way to the answer, ``[B]``."""


def last_of_phases(phases: Sequence[Any]) -> list[int]:
    """The numbers of the last snapshot of each phase, oldest first."""
    return sorted({phase: number for number, phase in enumerate(phases)}.values())


def progressive_way(phases: Sequence[Any], weights: Sequence[float] | None) -> list[int]:
    """Whom progressive answers ask, oldest first: the last snapshot of each phase, and all with a weight, if given."""
    weighted = {number for number, weight in enumerate(weights or ()) if weight > 0}
    return sorted({*last_of_phases(phases), *weighted})


def answer_progressively(
    member: Callable[[int, NDArray[np.int64]], NDArray[np.float32]],
    way: Sequence[int],
    costs: Sequence[int],
    threshold: float,
    count: int,
    weights: Sequence[float] | None = None,
) -> Progressive:
    """Ask the snapshots on the ``way`` in turn about ``count`` samples, until the confidence passes the threshold.

    ``member(number, rows)`` gives the probabilities ``[rows, classes]`` of a snapshot for some of the samples;
    ``costs`` and ``weights`` are those of all snapshots. The answer is that of the snapshot asked last or, with
    ``weights``, the mixture of all that were asked. Whoever is never sure gets the one at the end of the way.
    """
    rows = np.arange(count)
    snapshot, edges = np.zeros(count, np.int64), np.zeros(count, np.int64)
    answers: list[NDArray[np.float32]] = []
    before = 0.0
    for number in way:
        found = member(number, rows)
        if not answers:
            answers = [np.zeros((count, found.shape[-1]), np.float32)]
        weight = 1.0 if weights is None else max(weights[number], _LEAST)
        mixed = (before * answers[0][rows] + weight * found) / (before + weight)
        answers[0][rows], snapshot[rows] = mixed, number
        edges[rows] += costs[number]
        before = 0.0 if weights is None else before + weight
        rows = rows[mixed.max(-1) <= threshold]
        if not len(rows):
            break
    return Progressive(answers[0], snapshot, edges)


class SnapshotsModel(Model):
    """A multi-scale snapshots network.

    ``mode`` says who answers: "weighted" (the default; every snapshot that has a weight), "progressive" (from
    coarse to fine, until the answer is sure), "final" (the last snapshot), the name of a phase such as "coarse"
    (its last snapshot), or the number of a snapshot.
    """

    def __init__(self, config: ArtifactConfig, backend: str, runner: Any) -> None:
        super().__init__(config, backend, runner)
        try:
            self._snapshots, self.threshold = _read(config.metrics)
            _check_count(len(self._snapshots), runner.outputs)
        except ValueError as error:
            raise ArtifactError(f"{config.name}: config.json: metrics: {error}") from error
        self._weights = [info.weight for info in self._snapshots] if _mixes(config) else None

    @property
    def snapshots(self) -> tuple[SnapshotInfo, ...]:
        """What was saved during training, oldest first."""
        return self._snapshots

    def predict(self, inputs: Any, batch_size: int = 64, mode: str | int = WEIGHTED) -> str | list[str]:
        """The most likely label: one string for one input, a list of them for a batch."""
        return self._name(self.logits(inputs, batch_size, mode))

    def predict_proba(self, inputs: Any, batch_size: int = 64, mode: str | int = WEIGHTED) -> NDArray[np.float32]:
        """Probabilities that sum to one: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size, mode))

    def logits(self, inputs: Any, batch_size: int = 64, mode: str | int = WEIGHTED) -> NDArray[np.float32]:
        """What the softmax is taken of: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        if mode == WEIGHTED:
            return super().logits(inputs, batch_size)
        if mode == PROGRESSIVE:
            return self._run(
                lambda x: np.log(self._answer(x, self.threshold).probabilities + _TINY), inputs, batch_size
            )
        number = self._number(mode)
        return self._run(lambda x: self._member(number, x), inputs, batch_size)

    def progressive(self, inputs: Any, batch_size: int = 64, threshold: float | None = None) -> Progressive:
        """Progressive answers with who gave them and what they cost; a batch of one for one input.

        ``threshold`` in [0, 1] is the confidence that is enough; the model's own was chosen on validation data.
        """
        limit = self.threshold if threshold is None else check_type(threshold, float, "threshold")
        check_positive(batch_size, "batch_size")
        batches, _ = self.input_spec.batches(inputs, batch_size)
        parts = [self._answer(x, limit) for x in batches] or [self._nothing()]
        return Progressive(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.snapshot for part in parts]),
            np.concatenate([part.edges for part in parts]),
        )

    def _answer(self, x: FloatArray, threshold: float) -> Progressive:
        way = progressive_way([snapshot.phase for snapshot in self.snapshots], self._weights)
        costs = [snapshot.cost for snapshot in self.snapshots]
        return answer_progressively(
            lambda number, rows: softmax(self._member(number, x[rows])), way, costs, threshold, len(x), self._weights
        )

    def _nothing(self) -> Progressive:
        return Progressive(np.zeros((0, len(self.labels)), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _number(self, mode: str | int) -> int:
        """The number of the one snapshot that a mode names; raises InputError."""
        count = len(self.snapshots)
        if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode < count:
            return mode
        named = {snapshot.phase: snapshot.number for snapshot in self.snapshots} | {FINAL: count - 1}
        if isinstance(mode, str) and mode in named:
            return named[mode]
        allowed = ", ".join((WEIGHTED, PROGRESSIVE, *dict.fromkeys((FINAL, *named))))
        raise InputError(f"mode is {describe(mode)}; allowed: {allowed}, or a snapshot's number from 0 to {count - 1}")

    def _member(self, number: int, x: FloatArray) -> NDArray[np.float32]:
        """One snapshot's logits ``[B, classes]`` for prepared inputs."""
        runner: Any = self._runner
        return self._finite(runner.output(f"snapshot_{number}", x))


def _read(metrics: dict[str, Any]) -> tuple[tuple[SnapshotInfo, ...], float]:
    """Snapshots and threshold as training recorded them; raises ValueError naming what is wrong."""
    found = check_list(metrics.get("snapshots"), dict, "snapshots")
    threshold: float = check_type(metrics.get("progressive_threshold"), float, "progressive_threshold")
    infos = []
    for number, entry in enumerate(found):
        what = f"snapshots[{number}]"
        fields = check_keys(entry, set(_FIELDS), frozenset(), what)
        values = {key: check_type(fields[key], kind, f"{what} {key}") for key, kind in _FIELDS.items()}
        infos.append(SnapshotInfo(number, **values))
    if not infos:
        raise ValueError("snapshots must list at least one, found []")
    return tuple(infos), threshold


def _mixes(config: ArtifactConfig) -> bool:
    """Whether progressive answers are mixtures; raises ArtifactError for a config that says neither."""
    progressive = config.model.get("progressive", "last")  # artifacts from before there was a choice do not say
    if progressive not in ("last", "mixture"):
        found = describe(progressive)
        raise ArtifactError(f"{config.name}: config.json: model progressive must be last or mixture, found {found}")
    return bool(progressive == "mixture")


def _check_count(listed: int, outputs: Sequence[str]) -> None:
    there = sum(name.startswith("snapshot_") for name in outputs)
    if listed != there:
        raise ValueError(f"lists {listed} snapshots, the model has {there}")


MODEL = SnapshotsModel
