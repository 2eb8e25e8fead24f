"""Multi-scale snapshots models: the weighted ensemble, single snapshots, and the cascade from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.artifact import ArtifactConfig
from sdk.errors import ArtifactError, InputError
from sdk.families.snapshots_trace import SnapshotsTrace, trace_of
from sdk.inputs import FloatArray
from sdk.model import Errors, Model, Network, softmax
from sdk.validation import check_keys, check_list, check_share, check_type, describe, is_integer

WEIGHTED, PROGRESSIVE, FINAL = "weighted", "progressive", "final"
_TINY = np.float32(1e-30)
_LEAST = 1e-6
"""Weight of an unweighted snapshot in a mixture: its answer stands until a weighted snapshot runs."""
_FIELDS: dict[str, type] = {
    "phase": str, "epoch": int, "edges": int, "cost": int, "weight": float, "validation_accuracy": float,
}  # fmt: skip


@dataclass(frozen=True)
class SnapshotInfo:
    """One snapshot saved during training."""

    number: int
    """Position from 0, the oldest; also a ``mode`` of :meth:`SnapshotsModel.predict`."""
    phase: str
    epoch: int
    edges: int
    cost: int
    """Edges computed per sample; exceeds ``edges`` if some lead back and the layers are computed in several sweeps."""
    weight: float
    """Share in the weighted ensemble, in [0, 1]."""
    validation_accuracy: float
    """In [0, 1]."""


@dataclass(frozen=True)
class Progressive:
    """Answers of the cascade, which runs snapshots from coarse to fine until a sample's answer is confident."""

    probabilities: NDArray[np.float32]
    """``[B, classes]``."""
    snapshot: NDArray[np.int64]
    """``[B]``: number of the last snapshot run for each sample."""
    edges: NDArray[np.int64]
    """``[B]``: edges computed for each sample, summed over the snapshots that ran."""

    def __repr__(self) -> str:
        count, classes = self.probabilities.shape
        if not count:
            return f"<Progressive: no samples, {classes} classes>"
        return (
            f"<Progressive: {count} samples, {classes} classes, last snapshots {self.snapshot.min()} to "
            f"{self.snapshot.max()}, {self.edges.mean():,.0f} edges per sample>"
        )


def last_of_phases(phases: Sequence[Any]) -> list[int]:
    """Return the number of the last snapshot of each phase, oldest first."""
    return sorted({phase: number for number, phase in enumerate(phases)}.values())


def cascade_of(phases: Sequence[Any], weights: Sequence[float] | None) -> list[int]:
    """Return the snapshots of the cascade, oldest first: the last of each phase and all with a weight, if given."""
    weighted = {number for number, weight in enumerate(weights or ()) if weight > 0}
    return sorted({*last_of_phases(phases), *weighted})


def answer_progressively(
    member: Callable[[int, NDArray[np.int64]], NDArray[np.float32]],
    cascade: Sequence[int],
    costs: Sequence[int],
    threshold: float,
    count: int,
    weights: Sequence[float] | None = None,
) -> Progressive:
    """Run the snapshots of a cascade in turn on ``count`` samples, each until its confidence passes the threshold.

    ``member(number, rows)`` returns the probabilities ``[rows, classes]`` of a snapshot for the given samples.
    ``costs`` and ``weights`` are those of all snapshots. A sample's answer is that of the last snapshot that ran or,
    with ``weights``, the mixture of all that ran. Samples that never pass the threshold get the answer at the end of
    the cascade.
    """
    rows = np.arange(count)
    snapshot, edges = np.zeros(count, np.int64), np.zeros(count, np.int64)
    answers: list[NDArray[np.float32]] = []
    before = 0.0
    for number in cascade:
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

    ``mode`` selects the snapshots that answer: "weighted" (the default: the weighted ensemble), "progressive" (the
    cascade from coarse to fine, until the answer is confident), "final" (the last snapshot), the name of a phase such
    as "coarse" (its last snapshot), or the number of a snapshot. Any other mode raises InputError.
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
        """The snapshots saved during training, oldest first."""
        return self._snapshots

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        mode: str | int = WEIGHTED,
        *,
        top_k: None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Literal["raise"] = "raise",
    ) -> str | list[str]: ...

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        mode: str | int = WEIGHTED,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any: ...

    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        mode: str | int = WEIGHTED,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any:
        """Return the most likely label, or the answers that ``top_k`` and ``errors`` ask for (see :class:`Model`)."""
        return self._predict(self._network(mode), inputs, batch_size, top_k, invert, batch, errors)

    def predict_proba(
        self,
        inputs: Any,
        batch_size: int = 64,
        mode: str | int = WEIGHTED,
        *,
        invert: Invert = "auto",
        batch: bool | None = None,
    ) -> NDArray[np.float32]:
        """Return probabilities that sum to one: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size, mode, invert=invert, batch=batch))

    def logits(
        self,
        inputs: Any,
        batch_size: int = 64,
        mode: str | int = WEIGHTED,
        *,
        invert: Invert = "auto",
        batch: bool | None = None,
    ) -> NDArray[np.float32]:
        """Return logits: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._run(self._network(mode), inputs, batch_size, invert, batch)

    def trace(self, inputs: Any, *, invert: Invert = "auto", batch: bool | None = None) -> SnapshotsTrace:
        """Return the answer of each snapshot and of the ensemble so far, for all inputs at once, on every backend."""
        prepared, single = self._prepare_all(inputs, invert, batch)
        members = np.stack([self._member(info.number, prepared) for info in self.snapshots])
        answer = self._finite(self._runner.logits(prepared))
        trace = trace_of(members, [info.weight for info in self.snapshots], answer)
        return SnapshotsTrace(*(part[:, 0] for part in trace)) if single else trace

    def _network(self, mode: str | int) -> Network:
        """Return the network that computes logits in a mode; raises InputError for an unknown mode."""
        if mode == WEIGHTED:
            return self._runner.logits
        if mode == PROGRESSIVE:
            return lambda x: np.log(self._answer(x, self.threshold).probabilities + _TINY)
        number = self._number(mode)
        return lambda x: self._member(number, x)

    def progressive(
        self, inputs: Any, batch_size: int = 64, threshold: float | None = None, *, invert: Invert = "auto"
    ) -> Progressive:
        """Run the cascade and return its answers with their snapshots and costs; one input is a batch of one.

        ``threshold`` in [0, 1] is the confidence at which a sample's answer is final; by default the model's own,
        which was chosen on validation data.
        """
        limit = self.threshold if threshold is None else check_share(threshold, "threshold")
        batch = True if self.input_spec.fits_one_and_batch(inputs) else None
        batches, _ = self._prepare(inputs, batch_size, invert, batch)
        parts = [self._answer(x, limit) for x in batches] or [self._no_answers()]
        return Progressive(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.snapshot for part in parts]),
            np.concatenate([part.edges for part in parts]),
        )

    def _answer(self, x: FloatArray, threshold: float) -> Progressive:
        cascade = cascade_of([snapshot.phase for snapshot in self.snapshots], self._weights)
        costs = [snapshot.cost for snapshot in self.snapshots]
        return answer_progressively(
            lambda number, rows: softmax(self._member(number, x[rows])),
            cascade,
            costs,
            threshold,
            len(x),
            self._weights,
        )

    def _no_answers(self) -> Progressive:
        return Progressive(np.zeros((0, len(self.labels)), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _number(self, mode: str | int) -> int:
        """Return the number of the snapshot that a mode names; raises InputError for any other mode."""
        count = len(self.snapshots)
        if is_integer(mode) and 0 <= mode < count:
            return int(mode)
        named = {snapshot.phase: snapshot.number for snapshot in self.snapshots} | {FINAL: count - 1}
        if isinstance(mode, str) and mode in named:
            return named[mode]
        allowed = ", ".join((WEIGHTED, PROGRESSIVE, *dict.fromkeys((FINAL, *named))))
        raise InputError(f"mode: found {describe(mode)}, allowed: {allowed}, or a snapshot's number 0 to {count - 1}")

    def _member(self, number: int, x: FloatArray) -> NDArray[np.float32]:
        """Return one snapshot's logits ``[B, classes]`` for prepared inputs."""
        runner: Any = self._runner
        return self._finite(runner.output(f"snapshot_{number}", x))


def _read(metrics: dict[str, Any]) -> tuple[tuple[SnapshotInfo, ...], float]:
    """Read the snapshots and the threshold that training recorded; raises InputError naming the first problem."""
    found = check_list(metrics.get("snapshots"), dict, "snapshots")
    threshold: float = check_type(metrics.get("progressive_threshold"), float, "progressive_threshold")
    infos = []
    for number, entry in enumerate(found):
        what = f"snapshots[{number}]"
        fields = check_keys(entry, set(_FIELDS), frozenset(), what)
        values = {key: check_type(fields[key], kind, f"{what} {key}") for key, kind in _FIELDS.items()}
        infos.append(SnapshotInfo(number, **values))
    if not infos:
        raise ValueError("snapshots: found [], expected at least one")
    return tuple(infos), threshold


def _mixes(config: ArtifactConfig) -> bool:
    """Return True if the cascade answers with mixtures; raises ArtifactError for an unknown kind of cascade."""
    progressive = config.model.get("progressive", "last")  # older artifacts lack this key
    if progressive not in ("last", "mixture"):
        found = describe(progressive)
        raise ArtifactError(f"{config.name}: config.json: model progressive: found {found}, allowed: last, mixture")
    return bool(progressive == "mixture")


def _check_count(listed: int, outputs: Sequence[str]) -> None:
    count = sum(name.startswith("snapshot_") for name in outputs)
    if listed != count:
        raise ValueError(f"snapshots: lists {listed}, the model has {count}")


MODEL = SnapshotsModel
