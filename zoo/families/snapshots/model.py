"""The network: units in layers, edges that skip layers or lead back, and snapshots of its past."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sdk.snapshots_deltas import with_deltas
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.start import start_counts, start_edges, start_weights
from zoo.families.snapshots.store import Snapshot, SnapshotStore
from zoo.families.snapshots.wiring import Wiring, unrolled, wire
from zoo.families.stored_answer import StoredAnswer
from zoo.kernels import dense
from zoo.kernels.sparse_network import Network, is_faster, sparse_network
from zoo.kernels.validated import Validated
from zoo.utils.errors import BuildError, StaleAnswerError, StaleEnsembleWarning

_STALE = (
    "this network answers by its stored snapshots in evaluation, so training it changes none of its predictions; call "
    "clear_ensemble() first, or store a new snapshot and call set_ensemble() afterwards"
)

_CHANGED = (
    "the network's parameters were changed after its ensemble was stored, and the ensemble, which answers in "
    "evaluation, does not follow them; call clear_ensemble() to answer by the network, or store a new snapshot "
    "and call set_ensemble()"
)


class SnapshotNet(nn.Module):
    """A growing network and its snapshots.

    Edges live in slots, in the order in which they were laid; a slot without an edge holds 0 and is never read. In
    training, and before :meth:`set_ensemble`, the module computes the growing network. In evaluation after it, the
    module computes the weighted ensemble of the snapshots.
    """

    source: Tensor
    target: Tensor
    edges: Tensor
    events: Tensor
    mixture: Tensor
    threshold: Tensor

    def __init__(self, config: SnapshotsConfig, task: Task) -> None:
        """Lay the initial edges; raises BuildError when they exceed the config's density."""
        super().__init__()
        self.config = config
        self.layout = Layout((math.prod(task.input_shape), *config.hidden, task.num_classes))
        units, slots = self.layout.units, self.layout.edges_at(config.max_density)
        source, target = start_edges(self.layout, config.start)
        if slots < len(source):
            raise BuildError(f"max_density {config.max_density} allows {slots} edges, the start needs {len(source)}")
        self.weight = nn.Parameter(torch.zeros(slots))
        self.bias = nn.Parameter(torch.zeros(units - self.layout.inputs))
        self.register_buffer("source", torch.zeros(slots, dtype=torch.int32))
        self.register_buffer("target", torch.zeros(slots, dtype=torch.int32))
        self.register_buffer("edges", torch.zeros((), dtype=torch.int32))
        self.register_buffer("events", torch.zeros(config.max_events, 3, dtype=torch.int32))
        capacity = sum(phase.snapshots for phase in config.phases)
        self.snapshots = SnapshotStore(capacity, slots + len(self.bias))
        self.register_buffer("mixture", torch.zeros(capacity))
        self.register_buffer("threshold", torch.zeros(()))
        self.holds = False
        """True if training must not change the :attr:`held` edges."""
        self._wirings: dict[int, Wiring] = {}
        self._network: Network | None = None
        self._ensemble_of = StoredAnswer()
        self.lay(source, target, start_weights(target, units, config.activation))
        self.register_load_state_dict_post_hook(_check_loaded)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs ``[B, *input_shape]`` to logits ``[B, classes]``.

        Raises StaleAnswerError in evaluation if the parameters were changed after the ensemble was stored.
        """
        if self.training and self.has_ensemble and torch.is_grad_enabled():
            warnings.warn(_STALE, StaleEnsembleWarning, stacklevel=4)  # the caller of the module
        if self.training or not self.has_ensemble:
            return self.logits(x)
        if self._ensemble_of.is_stale(self):
            raise StaleAnswerError(_CHANGED)
        members = [number for number in range(len(self.snapshots)) if self.mixture[number] > 0]
        return dense.log_mixture(torch.stack([self.member(number, x) for number in members]), self.mixture[members])

    def member(self, number: int, x: Tensor) -> Tensor:
        """Return the logits ``[B, classes]`` of one snapshot alone."""
        weight, bias, edges = self.values_of(number)
        return self.run(x, self.wiring(edges), weight, bias)[-1]

    def values_of(self, number: int | None) -> tuple[Tensor, Tensor, int]:
        """Return weights ``[slots]``, biases and number of edges of a snapshot, or of the current network (None)."""
        if number is None:
            return self.weight, self.bias, _count(self.edges)
        snapshot = self.snapshots[number]
        slots = len(self.weight)
        return snapshot.values[:slots], snapshot.values[slots:], snapshot.edges

    older_tensors = staticmethod(with_deltas)
    """The tensors of a file whose snapshots are differences, which the module also loads."""

    @property
    def outputs(self) -> list[str]:
        """Names of the snapshots, for :meth:`output`."""
        return [f"snapshot_{number}" for number in range(len(self.snapshots))]

    def output(self, name: str, x: Tensor) -> Tensor:
        """Return the logits ``[B, classes]`` of a snapshot by name."""
        return self.member(int(name.removeprefix("snapshot_")), x)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits ``[B, classes]`` of the growing network, in training by one kernel where that is faster."""
        if not dense.in_inference(x, self.weight, self.bias) and is_faster(x, self.network()):
            return sparse_network(x.flatten(1), self.weight, self.bias, self.network(), self.config.activation)
        return self.activations(x)[-1]

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the activations of every layer in the last sweep, and logits for the last layer."""
        return self.run(x, self.wiring(_count(self.edges)), self.weight, self.bias)

    def run(self, x: Tensor, wiring: Wiring, weight: Tensor, bias: Tensor) -> list[Tensor]:
        """Compute every layer of a wiring with weights ``[slots]`` and biases ``[units]`` or ``[B, units]``.

        Returns the layers of the last sweep.
        """
        act, output = partial(dense.apply, function=self.config.activation), self.layout.output
        biases = self.layout.biases(bias)
        layers: list[Tensor] = []
        for _ in range(self.config.sweeps if wiring.recurrent else 1):
            previous = [*layers[:-1], act(layers[-1])] if layers else None
            layers = [x.flatten(1)]
            for number in range(1, output + 1):
                received = biases[number - 1].expand(len(x), -1)
                for incoming in wiring.forward[number - 1]:
                    received = received + incoming(layers, weight)
                for incoming in wiring.back[number - 1] if previous else ():
                    received = received + incoming(previous or [], weight)
                layers.append(received if number == output else act(received))
        return layers

    @torch.no_grad()
    def lay(self, source: Tensor, target: Tensor, weight: Tensor) -> None:
        """Give the next slots to new edges ``[n]``; raises ValueError when too few are free."""
        first, count = _count(self.edges), len(source)
        if first + count > len(self.weight):
            raise ValueError(f"{count} new edges do not fit: {first} of {len(self.weight)} slots are taken")
        self.source[first : first + count] = source.to(self.source)
        self.target[first : first + count] = target.to(self.target)
        self.weight[first : first + count] = weight.to(self.weight)
        self.edges += count
        self.rewire()

    def rewire(self) -> None:
        """Forget the cached wirings and network after a change of the edges."""
        self._wirings.clear()
        self._network = None

    @torch.no_grad()
    def start_again(self, source: Tensor, target: Tensor, weight: Tensor, inherited: int) -> None:
        """Replace all edges by these ``[n]``, of which the first ``inherited`` come from a trained network."""
        for tensor in (self.source, self.target, self.weight, self.edges, self.events):
            tensor.zero_()
        self.lay(source, target, weight)
        # Growth never fills the last row, because it pauses before training ends; readers skip a row of epoch 0.
        self.events[-1] = torch.tensor([0, inherited, len(source)])

    @property
    def room(self) -> int:
        """Number of free slots."""
        return len(self.weight) - _count(self.edges)

    def laid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return source, target (int64) and weight of the existing edges, on the CPU."""
        count = _count(self.edges)
        source, target = (units[:count].long().cpu() for units in (self.source, self.target))
        return source, target, self.weight.detach()[:count].cpu()

    def wiring(self, edges: int) -> Wiring:
        """Return the wiring of the first ``edges`` edges; wirings are cached."""
        if edges not in self._wirings:
            source, target = self.source[:edges].long(), self.target[:edges].long()
            self._wirings[edges] = wire(self.layout, source, target, self.config.sweeps)
        return self._wirings[edges]

    def network(self) -> Network:
        """Return the growing network as one; it is cached."""
        if self._network is None:
            edges = _count(self.edges)
            source, target = self.source[:edges].long(), self.target[:edges].long()
            self._network = unrolled(self.layout, source, target, self.config.sweeps)
        return self._network

    def cost_of(self, number: int) -> tuple[int, int]:
        """Return a snapshot's number of edges, without pruned ones, and the edges that it computes per sample."""
        weight, _, edges = self.values_of(number)
        pruned = edges - int(weight[:edges].count_nonzero())
        return edges - pruned, self.wiring(edges).edges - pruned

    def freeze(self, epoch: int, phase: int, accuracy: float) -> Snapshot:
        """Return the current network as a snapshot."""
        values = torch.cat([self.weight.detach(), self.bias.detach()])
        return Snapshot(values, _count(self.edges), epoch, phase, accuracy)

    def record_growth(self, epoch: int, structures: int) -> None:
        """Record a growth event after ``epoch``: its structures and the current number of edges."""
        row = int((self.events[:, 0] > 0).sum())
        self.events[row] = torch.tensor([epoch, structures, int(self.weight.count_nonzero())])

    @property
    def started(self) -> int:
        """Number of edges at the start."""
        return int(self.events[-1, 2]) or sum(start_counts(self.layout, self.config.start))

    @property
    def held(self) -> int:
        """Number of edges, the first ones laid, that training must not change: the inherited ones, else the start's."""
        return (int(self.events[-1, 1]) or self.started) if self.holds else 0

    @property
    def growth(self) -> list[tuple[int, int, int]]:
        """Epoch, structures and resulting number of edges of each growth event."""
        return [tuple(row) for row in self.events.tolist() if row[0] > 0]

    def set_ensemble(self, mixture: Tensor, threshold: float) -> None:
        """Set the weights ``[snapshots]`` of the ensemble and the cascade's confidence threshold in [0, 1]."""
        self.mixture.zero_()
        self.mixture[: len(mixture)] = mixture.to(self.mixture)
        self.threshold.fill_(threshold)
        self._ensemble_of.record(self)

    def clear_ensemble(self) -> None:
        """Answer by the current network in evaluation, too, until :meth:`set_ensemble`; snapshots stay."""
        self.mixture.zero_()
        self._ensemble_of.forget()

    def check_finished(self) -> None:
        """Raise BuildError for a network without snapshots, of which a stored model consists."""
        if not self.has_ensemble:
            raise BuildError(
                "snapshots: found no ensemble; store the trained network as a snapshot by "
                "module.snapshots.replace([module.freeze(epoch=1, phase=0, accuracy=0.9)]) with its validation "
                "accuracy, then call module.set_ensemble(torch.ones(1), threshold=1.0)"
            )

    @property
    def has_ensemble(self) -> bool:
        """True after :meth:`set_ensemble`."""
        return _has_any((self.mixture,))

    def _apply(self, fn: Any, recurse: bool = True) -> SnapshotNet:
        self.rewire()  # the cached tensors are on one device
        self._ensemble_of.apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]


_counts = Validated(lambda tensors: int(tensors[0]))
_has_any = Validated(lambda tensors: bool(tensors[0].any()))


def _count(edges: Tensor) -> int:
    """Return the number of edges, which is read back from a GPU only after a change."""
    return _counts((edges,))


def _check_loaded(net: SnapshotNet, _keys: Any) -> None:
    """Raise ValueError unless the loaded state is a network: weight files may come from strangers."""
    net.rewire()
    layout, slots = net.layout, len(net.weight)
    count = _count(net.edges)
    if not 0 < count <= slots:
        raise ValueError(f"edges: found {count}, allowed 1 to {slots}")
    source, target, _ = net.laid()
    if bool(((source < 0) | (source >= layout.units) | (target < layout.inputs) | (target >= layout.units)).any()):
        raise ValueError(f"source, target: found units outside 0 to {layout.units - 1}, or edges into the input")
    if bool((layout.layer_of[source] == layout.layer_of[target]).any()):
        raise ValueError("source, target: found an edge within a layer")
    if len(torch.unique(source * layout.units + target)) < count:
        raise ValueError("source, target: found an edge twice")
    net.snapshots.check(count, len(net.config.phases))
    if bool((net.mixture < 0).any()) or bool(net.mixture[len(net.snapshots) :].any()):
        raise ValueError("mixture: found negative weights, or weights of snapshots that do not exist")
    net._ensemble_of.forget()
    if net.has_ensemble:
        net._ensemble_of.record(net)
