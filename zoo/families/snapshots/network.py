"""The network: units in layers, edges that skip layers or lead back, and the snapshots of its past."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.families.base import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.deltas import Snapshot, SnapshotStore
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.start import start_edges, start_weights
from zoo.kernels.sparse_linear import Structure, sparse_linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu,
}  # fmt: skip


@dataclass(frozen=True)
class Incoming:
    """The edges into one layer from the layers before it, or from those behind it."""

    slots: Tensor
    """Which of the network's weights they are, int64, in the structure's order."""
    structure: Structure

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """Sources ``[B, inputs]`` and all weights -> what the layer's units receive ``[B, units]``."""
        return sparse_linear(x, weight[self.slots], self.structure)


@dataclass(frozen=True)
class Wiring:
    """All edges by the layer they end in, from the first layer after the input on."""

    forward: tuple[Incoming, ...]
    back: tuple[Incoming | None, ...]
    """None for a layer without edges from behind."""
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
            raise ValueError(f"max_density {config.max_density} allows {slots} edges, the start needs {len(source)}")
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

    def output(self, name: str, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of the snapshot called ``snapshot_N``."""
        return self.member(int(name.removeprefix("snapshot_")), x)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Inputs ``[B, *input_shape]`` -> what every layer holds in the last sweep; logits for the last one."""
        return self.run(x, self.wiring(int(self.edges)), self.weight, self.bias)

    def run(self, x: Tensor, wiring: Wiring, weight: Tensor, bias: Tensor) -> list[Tensor]:
        """Every layer in the last sweep over a wiring, with these weights ``[slots]`` and biases ``[(B,) units]``."""
        act, output = ACTIVATIONS[self.config.activation], self.layout.output
        biases = self.layout.biases(bias)
        previous: list[Tensor] = []
        for _ in range(self.config.sweeps if wiring.recurrent else 1):
            layers = [x.flatten(1)]
            for number in range(1, output + 1):
                before = layers[0] if number == 1 else torch.cat(layers, 1)
                received = wiring.forward[number - 1](before, weight) + biases[number - 1]
                back = wiring.back[number - 1]
                if previous and back is not None:
                    behind = [*previous[number + 1 : output], act(previous[output])]
                    received = received + back(torch.cat(behind, 1), weight)
                layers.append(received if number == output else act(received))
            previous = layers
        return previous

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
        starts = self.layout.starts
        forward: list[Incoming] = []
        back: list[Incoming | None] = []
        for number in range(1, self.layout.output + 1):
            start, stop = starts[number], starts[number + 1]
            inside = (target >= start) & (target < stop)
            forward.append(_incoming(source, target, inside & (source < start), range(start, stop), range(start)))
            behind = inside & (source >= stop)
            recurrent = bool(behind.any())
            rest = range(stop, self.layout.units)
            back.append(_incoming(source, target, behind, range(start, stop), rest) if recurrent else None)
        ahead = sum(len(incoming.slots) for incoming in forward)
        sweeps = self.config.sweeps if any(back) else 1
        return Wiring(tuple(forward), tuple(back), ahead * sweeps + (edges - ahead) * (sweeps - 1))

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


def _incoming(source: Tensor, target: Tensor, chosen: Tensor, targets: range, sources: range) -> Incoming:
    slots = chosen.nonzero().flatten()
    slots = slots[(target[slots] * (sources.stop + 1) + source[slots]).argsort()]
    rows, columns = target[slots] - targets.start, source[slots] - sources.start
    return Incoming(slots, Structure.of(len(targets), len(sources), rows, columns))


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
