"""Snapshots networks in the compiled kernels: each snapshot, and the weighted ensemble, in one call."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import WEIGHTS_FILE, Artifact
from sdk.backends.native.network import NetworkBackend, address, choice, count, read_model
from sdk.errors import InputError
from sdk.inputs import FloatArray
from sdk.kernels import FUNCTIONS, compiled
from sdk.snapshots_deltas import VALUES, with_deltas, without_deltas
from sdk.validation import check_keys, check_list, check_type
from sdk.weights import TensorSpec, read_weights

_DEFAULTS: dict[str, Any] = {
    "hidden": [256, 128],
    "activation": "tanh",
    "sweeps": 2,
    "max_density": 0.05,
    "stabilisation": 10,
    "phases": [
        {"name": "coarse", "until": 50, "structures": 10, "snapshots": 2},
        {"name": "medium", "until": 100, "structures": 50, "snapshots": 3},
        {"name": "fine", "until": 150, "structures": 200, "snapshots": 3},
    ],
}
_OF_TRAINING = {
    "start", "trigger", "extrema", "routing", "cloning", "economy", "structure", "snapshot_gain", "end",
    "mixture_temperature", "progressive", "progressive_loss",
}  # fmt: skip
_WIDEST, _MOST_SNAPSHOTS = 8192, 64

Arrays = dict[str, NDArray[Any]]


class SnapshotsBackend(NetworkBackend):
    """Runs a snapshots network."""

    network: Any
    members: list[int]
    """The snapshots that the ensemble mixes; empty: the grown network answers, number ``len(outputs)``."""
    weights: list[float]
    outputs: list[str]
    """The names of the snapshots, which :meth:`output` takes."""

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the ensemble's logits ``[B, classes]`` of prepared inputs; raises as :meth:`run` does."""
        if not self.members:
            return self.run(lambda *call: self.network.logits(len(self.outputs), *call), x)
        return self.run(lambda *call: self.network.mixture(self.members, self.weights, *call), x)

    def output(self, name: str, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of a snapshot by name, one of :attr:`outputs`."""
        number = self.outputs.index(name)
        return self.run(lambda *call: self.network.logits(number, *call), x)


class _Facts(NamedTuple):
    """The numbers of config.json that describe the network, checked."""

    widths: tuple[int, ...]
    """Units of each layer, the input first and the classes last."""
    function: int
    sweeps: int
    slots: int
    """The most edges that the network may have."""
    capacity: int
    """The most snapshots."""
    phases: int
    events: int


def open_network(artifact: Artifact, threads: int) -> SnapshotsBackend:
    """Read the snapshots and prepare them; raises InputError for the config, ValueError and ArtifactError for weights.

    The compiled network checks every edge.
    """
    shape, classes = artifact.config.input.shape, len(artifact.config.labels)
    facts = _read(artifact.config.model, math.prod(shape), classes)
    file = artifact.file(WEIGHTS_FILE)
    expected = _expected(facts)
    tensors = without_deltas(read_weights(file, expected, with_deltas(expected)))
    snapshots = _snapshots(tensors, facts)
    backend = SnapshotsBackend(str(file), shape, classes, threads)
    backend.network = compiled().Snapshots(widths=facts.widths, function=facts.function, sweeps=facts.sweeps)
    grown = np.concatenate([tensors["weight"], tensors["bias"]])
    for values, edges in (*snapshots, (grown, int(tensors["edges"]))):
        weight, bias = (np.ascontiguousarray(part) for part in np.split(values, [facts.slots]))
        backend.network.add(
            edges=edges,
            source=address(tensors["source"]),
            target=address(tensors["target"]),
            weight=address(weight),
            bias=address(bias),
        )
    mixture = tensors["mixture"]
    if (mixture < 0).any() or mixture[len(snapshots) :].any():
        raise ValueError("mixture: found negative weights, or weights of snapshots that do not exist")
    backend.members = np.flatnonzero(mixture > 0).tolist()
    backend.weights = mixture[mixture > 0].tolist()
    backend.outputs = [f"snapshot_{number}" for number in range(len(snapshots))]
    return backend


def _read(model: dict[str, Any], inputs: int, classes: int) -> _Facts:
    """Check the keys of the ``model`` section that describe the network; raises InputError for the first problem."""
    given = _DEFAULTS | read_model(model, set(), {*_DEFAULTS, *_OF_TRAINING})
    hidden = tuple(count(width, "hidden", most=_WIDEST) for width in check_list(given["hidden"], int, "model.hidden"))
    if not 1 <= len(hidden) <= 8:
        raise InputError(f"model.hidden: found {len(hidden)} layers, allowed 1 to 8")
    density = check_type(given["max_density"], float, "model.max_density")
    if not 0 < density <= 1:
        raise InputError(f"model.max_density: found {density}, should be above 0 and at most 1")
    widths = (inputs, *hidden, classes)
    phases = check_list(given["phases"], dict, "model.phases")
    if not 1 <= len(phases) <= 8:
        raise InputError(f"model.phases: found {len(phases)}, allowed 1 to 8")
    fields = {"name", "until", "structures", "snapshots"}
    rules = frozenset({"grow_until", "prune_until", "edges"})
    phases = tuple(check_keys(phase, fields, rules, f"model.phases[{i}]") for i, phase in enumerate(phases))
    capacity = sum(count(phase["snapshots"], "phases.snapshots", most=_MOST_SNAPSHOTS) for phase in phases)
    if capacity > _MOST_SNAPSHOTS:
        raise InputError(f"model.phases: {capacity} snapshots in all, at most {_MOST_SNAPSHOTS} are allowed")
    last = count(phases[-1]["until"], "phases.until", most=100_000)
    return _Facts(
        widths=widths,
        function=choice(given["activation"], "activation", FUNCTIONS),
        sweeps=count(given["sweeps"], "sweeps", most=8),
        slots=int(density * sum(before * after for before, after in pairwise(widths))),
        capacity=capacity,
        phases=len(phases),
        events=last // max(1, count(given["stabilisation"], "stabilisation", least=0)) + 1,
    )


def _expected(facts: _Facts) -> dict[str, TensorSpec]:
    """Return the tensors that the weights file must have."""
    units, capacity = sum(facts.widths[1:]), facts.capacity
    entries = facts.slots + units
    floats: dict[str, tuple[int, ...]] = {
        "weight": (facts.slots,),
        "bias": (units,),
        "mixture": (capacity,),
        "threshold": (),
        VALUES: (capacity, entries),
        "snapshots.accuracy": (capacity,),
    }
    integers: dict[str, tuple[int, ...]] = {
        "source": (facts.slots,),
        "target": (facts.slots,),
        "edges": (),
        "events": (facts.events, 3),
        "snapshots.facts": (capacity, 3),
    }
    kinds = (("float32", floats), ("int32", integers))
    return {name: (dtype, shape) for dtype, shapes in kinds for name, shape in shapes.items()}


def _snapshots(tensors: Arrays, facts: _Facts) -> list[tuple[NDArray[np.float32], int]]:
    """Return the values (weights, then biases) and the number of edges of each snapshot; raises ValueError."""
    edges, rows = int(tensors["edges"]), tensors["snapshots.facts"]
    if not 0 < edges <= facts.slots:
        raise ValueError(f"edges: found {edges}, allowed 1 to {facts.slots}")
    laid, epoch, phase = rows.T
    number = int((laid > 0).sum())
    used = (laid >= 1) & (laid <= edges) & (epoch >= 0) & (phase >= 0) & (phase < facts.phases)
    good = np.where(np.arange(len(rows)) < number, used, ~rows.any(axis=1))
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"snapshots.facts: found {rows[row].tolist()} in row {row} of {number}, the network has {edges} edges"
        )
    return [(tensors[VALUES][i], int(laid[i])) for i in range(number)]
