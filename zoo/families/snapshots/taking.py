"""Start from a trained network: the edges, weights and biases of its last state; growth continues, snapshots do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import living
from zoo.families.snapshots.start import start_weights
from zoo.families.taking import Match, Taken
from zoo.utils.errors import BuildError


def take(net: SnapshotNet, source: SnapshotNet, match: Match) -> Taken:
    """Lay the edges of ``source`` in ``net``, in place, between the same units of layers that both have.

    With other classes, class ``t`` reads the units that class ``t`` modulo their number read there, by weights of its
    own. With other inputs, the edges that rule 1 has drawn connect them. Raises BuildError if the edges exceed the
    config's density.
    """
    units = _same_units(net, source, match)
    drawn = net.laid()
    begin, end, weight = living(source)
    kept = (units[begin] >= 0) & (units[end] >= 0)
    if net.config.sweeps < 2:  # a single sweep never reads edges that lead back
        kept &= source.layout.layer_of[begin] < source.layout.layer_of[end]
    edges = [(units[begin][kept], units[end][kept], weight[kept])]
    count = int(kept.sum())
    if match.classes is None:
        edges.append(_into_classes(net, source, units))
    if not match.same_inputs:
        edges.append(drawn)
    begin, end, weight = _without_repeats(edges, net.layout.units)
    slots = len(net.weight)
    if len(begin) > slots:
        raise BuildError(
            f"model.max_density {net.config.max_density:g} allows {slots} edges, the start has {len(begin)}; set it to "
            f"at least {math.ceil(1e4 * len(begin) / net.layout.possible) / 1e4:g}"
        )
    if not count:
        return Taken((), {"weight, bias": "no edge joins units that both networks have"}, (), 0)
    net.start_again(begin, end, weight, inherited=count)
    biases = _take_biases(net, source, units)
    note = f"{count:,} edges taken, {len(begin) - count:,} new, room for {slots - len(begin):,} to grow"
    return Taken(("weight", "bias"), {}, (), count + biases, note)


def freeze(net: SnapshotNet, names: Sequence[str]) -> None:
    """Hold the taken edges (without any, those at the start) and the biases; edges that grow are trained.

    Raises BuildError if nothing is left to train: growth waits for changes of a gradient.
    """
    if "weight" in names:
        net.holds = True
    if "bias" in names:
        net.bias.requires_grad_(False)
    if len(names) == 2 and net.held == int(net.edges):
        raise BuildError(
            f"train.freeze: all {net.held} edges and all biases are frozen, so nothing is left to train, and without a "
            "gradient the network does not grow; freeze weight alone"
        )


def _same_units(net: SnapshotNet, source: SnapshotNet, match: Match) -> Tensor:
    """Return the unit of ``net`` for every unit of ``source``, or -1: int64 ``[units of source]``."""
    ours, theirs = net.layout, source.layout
    units = torch.full((theirs.units,), -1)
    for number in range(0 if match.same_inputs else 1, min(ours.output, theirs.output)):
        width = min(ours.widths[number], theirs.widths[number])
        first, there = ours.starts[number], theirs.starts[number]
        units[there : there + width] = torch.arange(first, first + width)
    if match.classes is not None:
        first, there = ours.starts[ours.output], theirs.starts[theirs.output]
        units[there + torch.tensor(match.classes)] = first + torch.arange(len(match.classes))
    return units


def _into_classes(net: SnapshotNet, source: SnapshotNet, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, target and random weight ``[edges]`` of edges into classes that ``source`` does not know."""
    begin, end, _ = living(source)
    first, there = net.layout.starts[net.layout.output], source.layout.starts[source.layout.output]
    classes, known = net.layout.widths[-1], source.layout.widths[-1]
    pairs = []
    for number in range(classes):
        read = units[begin[end == there + number % known]]
        read = read[read >= 0]
        pairs.append((read, torch.full_like(read, first + number)))
    before, after = (torch.cat(column) for column in zip(*pairs, strict=True))
    return before, after, start_weights(after, net.layout.units, net.config.activation)


def _without_repeats(edges: Sequence[tuple[Tensor, Tensor, Tensor]], units: int) -> tuple[Tensor, Tensor, Tensor]:
    """Join lists of edges; of equal ones, the first stays."""
    begin, end, weight = (torch.cat(column) for column in zip(*edges, strict=True))
    seen: set[int] = set()
    first = [key not in seen and not seen.add(key) for key in (begin * units + end).tolist()]  # type: ignore[func-returns-value]
    chosen = torch.tensor(first, dtype=torch.bool)
    return begin[chosen], end[chosen], weight[chosen]


@torch.no_grad()
def _take_biases(net: SnapshotNet, source: SnapshotNet, units: Tensor) -> int:
    """Copy the biases of the units that both networks have, and return their number."""
    there = torch.arange(source.layout.inputs, source.layout.units)
    there = there[units[there] >= 0]
    here = units[there] - net.layout.inputs
    net.bias[here.to(net.bias.device)] = source.bias[there - source.layout.inputs].to(net.bias)
    return len(here)
