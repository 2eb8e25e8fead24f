"""The network: units in layers, edges that skip layers or lead back, and the snapshots of its past."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdk.families.snapshots import last_of_phases
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.deltas import Snapshot, SnapshotStore
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.start import start_counts, start_edges, start_weights
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure
from zoo.utils.errors import BuildError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
}  # fmt: skip


@dataclass(frozen=True)
class Incoming:
    """The edges into one layer from some of the others."""

    sources: range
    """The layers they come from: the input alone (it needs no gradient), hidden ones, or those behind the layer."""
    slots: Tensor
    """Which of the network's weights they are, int64, in the structure's order."""
    structure: Structure

    def __call__(self, layers: list[Tensor], weight: Tensor) -> Tensor:
        """What each layer holds ``[B, units]`` and all weights -> what the layer's units receive ``[B, units]``."""
        before = [layers[number] for number in self.sources]
        x = before[0] if len(before) == 1 else torch.cat(before, 1)
        return sparse_linear(x, weight.index_select(0, self.slots), self.structure)


@dataclass(frozen=True)
class Wiring:
    """All edges by the layer they end in, from the first layer after the input on."""

    forward: tuple[tuple[Incoming, ...], ...]
    back: tuple[tuple[Incoming, ...], ...]
    edges: int
    """What one sample spends: an edge counts in every sweep that reads it."""

    @property
    def recurrent(self) -> bool:
        return any(self.back)


class SnapshotNet(nn.Module):
    """Edges live in slots, in the order they were laid; a slot without an edge holds 0 and nothing reads it.

    In training, and before :meth:`set_ensemble`, it computes the growing network; after it, in evaluation, the
    weighted ensemble of its snapshots.
    """

    source: Tensor
    target: Tensor
    edges: Tensor
    events: Tensor
    mixture: Tensor
    threshold: Tensor

    def __init__(self, config: SnapshotsConfig, task: Task) -> None:
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
        kept = sum(phase.snapshots for phase in config.phases)
        self.snapshots = SnapshotStore(kept, slots + len(self.bias))
        self.register_buffer("mixture", torch.zeros(kept))
        self.register_buffer("threshold", torch.zeros(()))
        self._wirings: dict[int, Wiring] = {}
        self.lay(source, target, start_weights(target, units, config.activation))
        self.register_load_state_dict_post_hook(_check_loaded)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]`` -> logits ``[B, classes]``."""
        if self.training or not self.has_ensemble:
            return self.activations(x)[-1]
        members = [number for number in range(len(self.snapshots)) if self.mixture[number] > 0]
        log_probabilities = [self.member(number, x).log_softmax(-1) + self.mixture[number].log() for number in members]
        return torch.stack(log_probabilities).logsumexp(0)

    def member(self, number: int, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of one snapshot alone."""
        weight, bias, edges = self.values_of(number)
        return self.run(x, self.wiring(edges), weight, bias)[-1]

    def values_of(self, number: int | None) -> tuple[Tensor, Tensor, int]:
        """Weights ``[slots]``, biases and number of edges of a snapshot, or of the network as it is now (None)."""
        if number is None:
            return self.weight, self.bias, int(self.edges)
        snapshot = self.snapshots[number]
        slots = len(self.weight)
        return snapshot.values[:slots], snapshot.values[slots:], snapshot.edges

    @property
    def outputs(self) -> list[str]:
        """The names of its snapshots, for :meth:`output`."""
        return [f"snapshot_{number}" for number in range(len(self.snapshots))]

    def output(self, name: str, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of the snapshot of that name."""
        return self.member(int(name.removeprefix("snapshot_")), x)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Inputs ``[B, *input_shape]`` -> what every layer holds in the last sweep; logits for the last one."""
        return self.run(x, self.wiring(int(self.edges)), self.weight, self.bias)

    def run(self, x: Tensor, wiring: Wiring, weight: Tensor, bias: Tensor) -> list[Tensor]:
        """Every layer in the last sweep over a wiring, with these weights ``[slots]`` and biases ``[(B,) units]``."""
        act, output = ACTIVATIONS[self.config.activation], self.layout.output
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

    # --- structure ---

    @torch.no_grad()
    def lay(self, source: Tensor, target: Tensor, weight: Tensor) -> None:
        """Give the next slots to new edges ``[n]``; raises ValueError when there are too few."""
        first, count = int(self.edges), len(source)
        if first + count > len(self.weight):
            raise ValueError(f"{count} new edges do not fit: {first} of {len(self.weight)} slots are taken")
        self.source[first : first + count] = source.to(self.source)
        self.target[first : first + count] = target.to(self.target)
        self.weight[first : first + count] = weight.to(self.weight)
        self.edges += count
        self._wirings.clear()

    @property
    def room(self) -> int:
        """How many more edges fit."""
        return len(self.weight) - int(self.edges)

    def laid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target (int64) and weight of the edges there are, on the CPU."""
        count = int(self.edges)
        source, target = (units[:count].long().cpu() for units in (self.source, self.target))
        return source, target, self.weight.detach()[:count].cpu()

    def wiring(self, edges: int) -> Wiring:
        """The first so many edges, sorted by the layer they end in."""
        if edges not in self._wirings:
            self._wirings[edges] = self._wire(edges)
        return self._wirings[edges]

    def _wire(self, edges: int) -> Wiring:
        source, target = self.source[:edges].long(), self.target[:edges].long()
        output, layer_of = self.layout.output, self.layout.layer_of.to(source.device)
        forward, back = [], []
        for number in range(1, output + 1):
            into = layer_of[target] == number
            groups = (range(1), range(1, number), range(number + 1, output + 1))
            incoming = [
                self._incoming(source, target, into & _in(layer_of[source], group), group, number) for group in groups
            ]
            forward.append(tuple(i for i in incoming[:2] if len(i.slots)))
            back.append(tuple(i for i in incoming[2:] if len(i.slots)))
        behind = sum(len(incoming.slots) for layer in back for incoming in layer)
        sweeps = self.config.sweeps if behind else 1
        return Wiring(tuple(forward), tuple(back), (edges - behind) * sweeps + behind * (sweeps - 1))

    def _incoming(self, source: Tensor, target: Tensor, chosen: Tensor, group: range, number: int) -> Incoming:
        """The chosen edges, from the layers of a group into a layer."""
        starts = self.layout.starts
        first, last = starts[group.start], starts[group.stop]
        slots = chosen.nonzero().flatten()
        slots = slots[(target[slots] * self.layout.units + source[slots]).argsort()]
        rows, columns = target[slots] - starts[number], source[slots] - first
        return Incoming(group, slots, Structure.of(self.layout.widths[number], last - first, rows, columns))

    def _apply(self, fn: Any, recurse: bool = True) -> SnapshotNet:
        self._wirings.clear()  # they lie on a device
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    # --- history and ensemble ---

    def freeze(self, epoch: int, phase: int, accuracy: float) -> Snapshot:
        """The network as it is now, as a snapshot."""
        values = torch.cat([self.weight.detach(), self.bias.detach()])
        return Snapshot(values, int(self.edges), epoch, phase, accuracy)

    def record_growth(self, epoch: int, structures: int) -> None:
        """Note that growth after ``epoch`` has brought so many structures and the edges there are now."""
        row = int((self.events[:, 0] > 0).sum())
        self.events[row] = torch.tensor([epoch, structures, int(self.edges)])

    @property
    def started(self) -> int:
        """The number of edges at the start."""
        return sum(start_counts(self.layout, self.config.start))

    @property
    def growth(self) -> list[tuple[int, int, int]]:
        """Epoch, structures and the number of edges afterwards of each growth event."""
        return [tuple(row) for row in self.events.tolist() if row[0] > 0]

    def set_ensemble(self, mixture: Tensor, threshold: float) -> None:
        """Answer with this mixture ``[snapshots]`` of the snapshots' probabilities from now on."""
        self.mixture.zero_()
        self.mixture[: len(mixture)] = mixture.to(self.mixture)
        self.threshold.fill_(threshold)

    @property
    def has_ensemble(self) -> bool:
        return bool(self.mixture.any())


class Member(nn.Module):
    """One snapshot of a network as a module of its own."""

    def __init__(self, net: SnapshotNet, number: int) -> None:
        super().__init__()
        self.net = net
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, *input_shape]`` -> logits ``[B, classes]``."""
        return self.net.member(self.number, x)


def members(net: SnapshotNet) -> dict[str, Member]:
    """The last snapshot of each phase by the phase's name, and every snapshot by its number."""
    count = len(net.snapshots)
    phases = [net.config.phases[net.snapshots[number].phase].name for number in range(count)]
    named = {phases[number]: number for number in last_of_phases(phases)}
    return {name: Member(net, number) for name, number in (named | {str(n): n for n in range(count)}).items()}


def _in(layers: Tensor, group: range) -> Tensor:
    return (layers >= group.start) & (layers < group.stop)


def _check_loaded(net: SnapshotNet, _keys: Any) -> None:
    """Raise ValueError unless what was loaded is a network: weights come from files of strangers."""
    net._wirings.clear()
    layout, slots = net.layout, len(net.weight)
    count = int(net.edges)
    if not 0 < count <= slots:
        raise ValueError(f"edges is {count}, 1 to {slots} are possible")
    source, target, _ = net.laid()
    if bool(((source < 0) | (source >= layout.units) | (target < layout.inputs) | (target >= layout.units)).any()):
        raise ValueError(f"source and target name units outside 0 to {layout.units - 1}, or edges into the input")
    if bool((layout.layer_of[source] == layout.layer_of[target]).any()):
        raise ValueError("source and target hold an edge within a layer")
    if len(torch.unique(source * layout.units + target)) < count:
        raise ValueError("source and target hold an edge twice")
    net.snapshots.check(count, len(net.config.phases))
    if bool((net.mixture < 0).any()) or bool(net.mixture[len(net.snapshots) :].any()):
        raise ValueError("mixture has negative weights or weights of snapshots that are not there")
