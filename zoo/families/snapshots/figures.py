"""Figures of the probe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from matplotlib.figure import Figure

from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import living
from zoo.families.snapshots.schedule import phase_at

CAPTIONS = {
    "growth.png": "Edges (left axis, logarithmic) and validation accuracy (right axis) over the epochs of training. "
    "Dotted lines mark growth events, triangles mark saved snapshots, and shades mark the phases.",
    "inputs.png": "Number of edges that each input got at the start and in each phase.",
    "spent.png": "Test accuracy against the edges computed per sample, for single snapshots, the weighted ensemble "
    "and progressive answers at several thresholds (the star marks the model's own).",
}


class Spent(Protocol):
    """A point of the plot: edges per sample and accuracy in [0, 1]."""

    @property
    def edges(self) -> float: ...
    @property
    def accuracy(self) -> float: ...


def draw_growth(net: SnapshotNet, history: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot edges and validation accuracy over the epochs, with growth events, snapshots and phases."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    start = 0
    for number, phase in enumerate(net.config.phases):
        axes.axvspan(start, phase.until, color="black", alpha=0.03 + 0.05 * number, linewidth=0)
        axes.text((start + phase.until) / 2, 0.02, phase.name, ha="center", transform=axes.get_xaxis_transform())
        start = phase.until
    for number, (epoch, _, _) in enumerate(net.growth):
        label = None if number else "growth"
        axes.axvline(epoch, color="black", linestyle=":", linewidth=1, label=label)
    epochs = [record["epoch"] for record in history]
    axes.step(epochs, [record["train_edges"] for record in history], color="#009e73", where="pre", label="edges (left)")
    axes.set(xlabel="epoch", yscale="log", ylabel="edges")
    right = axes.twinx()
    accuracies = [100 * record["validation_accuracy"] for record in history]
    right.plot(epochs, accuracies, "--", color="#0072b2", label="validation accuracy (right)")
    saved = [net.snapshots[number] for number in range(len(net.snapshots))]
    right.plot(
        [s.epoch for s in saved], [100 * s.accuracy for s in saved], "v", color="#d55e00", label="snapshots (right)"
    )
    right.set(ylabel="validation accuracy in %", ylim=(0, 101))
    entries = [axes.get_legend_handles_labels(), right.get_legend_handles_labels()]
    handles, labels = ([*first, *second] for first, second in zip(*entries, strict=True))
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False, fontsize="small")
    return figure


def draw_inputs(net: SnapshotNet, shape: tuple[int, ...]) -> Figure:
    """Draw the number of new edges from each input as a map, at the start and per phase, summed over channels."""
    source, _, _ = living(net)
    ends = [(-1, net.started)]
    ends += [(phase_at(net.config.phases, epoch + 1), edges) for epoch, _, edges in net.growth]
    counts = [torch.zeros(net.layout.inputs) for _ in range(len(net.config.phases) + 1)]
    before = 0
    for phase, edges in ends:
        units = source[before:edges]
        counts[phase + 1] += torch.bincount(units[units < net.layout.inputs], minlength=net.layout.inputs)
        before = edges
    titles = ["start", *(phase.name for phase in net.config.phases)]
    figure = Figure(figsize=(2.3 * len(titles), 2.5), layout="constrained")
    for axes, title, count in zip(figure.subplots(1, len(titles)), titles, counts, strict=True):
        picture = count.reshape(shape).sum(0) if len(shape) == 3 else count[None]
        drawn = axes.imshow(picture.numpy(), cmap="magma", vmin=0, interpolation="nearest")
        axes.set(title=f"{title}: {int(count.sum())}", xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axes, shrink=0.7)
    return figure


def draw_spent(singles: Sequence[Spent], weighted: Spent, curve: Sequence[Spent], own: Spent) -> Figure:
    """Plot accuracy against edges per sample."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    along = sorted(curve, key=lambda point: point.edges)
    axes.plot([p.edges for p in along], [100 * p.accuracy for p in along], "-", color="tab:orange", label="progressive")
    axes.plot(own.edges, 100 * own.accuracy, "*", color="tab:orange", markersize=13)
    axes.plot([p.edges for p in singles], [100 * p.accuracy for p in singles], "o", label="single snapshots")
    axes.plot(weighted.edges, 100 * weighted.accuracy, "D", label="weighted ensemble")
    lowest = min(point.accuracy for point in [*singles, *curve])
    axes.set(xscale="log", xlabel="edges per sample", ylabel="test accuracy in %")
    axes.set_ylim(math.floor(100 * lowest) - 1, 100.5)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return figure
