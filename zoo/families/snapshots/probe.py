"""`zoo probe` of a snapshots network: its snapshots, ensemble and cascade against networks of equal size."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdk.families.snapshots import answer_progressively, cascade_of, last_of_phases
from zoo.data.sampling import derive_seed, evaluation_batches, training_batches
from zoo.data.split import Split
from zoo.families.probing import Findings, ProbeContext
from zoo.families.snapshots import baselines, figures
from zoo.families.snapshots.model import SnapshotNet
from zoo.utils.figures import save_png

_STEPS = 3000
"""Training steps of each baseline; half as many follow pruning."""
_BATCH = 256
_THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)


@dataclass(frozen=True)
class Point:
    """One way to answer: its cost and its accuracy."""

    edges: float
    """Edges computed per sample."""
    accuracy: float
    """In [0, 1]."""


def probe(context: ProbeContext) -> Findings:
    """Measure accuracies on the test part, and draw growth.png, inputs.png and spent.png."""
    net = context.module
    assert isinstance(net, SnapshotNet)
    truth, members = _members(net, context.data.test)
    costs = [net.wiring(net.snapshots[number].edges).edges for number in range(len(net.snapshots))]
    phases = [net.snapshots[number].phase for number in range(len(net.snapshots))]
    weights = net.mixture[: len(members)].tolist() if net.config.progressive == "mixture" else None
    cascade = cascade_of(phases, weights)

    def progressive(threshold: float) -> Point:
        found = answer_progressively(
            lambda number, rows: members[number, rows], cascade, costs, threshold, len(truth), weights
        )
        return Point(float(found.edges.mean()), _accuracy(found.probabilities, truth))

    singles = [Point(cost, _accuracy(member, truth)) for cost, member in zip(costs, members, strict=True)]
    mixture = net.mixture[: len(members)].numpy()
    spent = sum(cost for cost, weight in zip(costs, mixture, strict=True) if weight > 0)
    weighted = Point(spent, _accuracy(np.einsum("s,snc->nc", mixture, members), truth))
    own = progressive(float(net.threshold))
    curve = [progressive(threshold) for threshold in _THRESHOLDS]
    others = _baselines(net, context, [costs[number] for number in last_of_phases(phases)])
    save_png(figures.draw_growth(net, context.history), context.figures / "growth.png")
    save_png(figures.draw_inputs(net, context.task.input_shape), context.figures / "inputs.png")
    save_png(figures.draw_spent(singles, weighted, curve, own, others), context.figures / "spent.png")
    metrics = {
        "snapshots": [_json(point) for point in singles],
        "weighted": _json(weighted),
        "progressive": _json(own),
        **{name: [_json(point) for point in points] for name, points in others.items()},
    }
    return Findings(metrics, _text(singles, weighted, own, others), figures.CAPTIONS)


def _members(net: SnapshotNet, split: Split) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels ``[N]`` and every snapshot's probabilities ``[S, N, C]``."""
    labels, parts = [], []
    with torch.inference_mode():
        for inputs, targets in split.stream(evaluation_batches(len(split), _BATCH), torch.device("cpu")):
            labels.append(targets)
            parts.append(torch.stack([net.member(n, inputs).softmax(-1) for n in range(len(net.snapshots))]))
    return torch.cat(labels).numpy(), torch.cat(parts, 1).numpy()


def _accuracy(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    return float((probabilities.argmax(-1) == truth).mean())


def _baselines(net: SnapshotNet, context: ProbeContext, sizes: list[int]) -> dict[str, list[Point]]:
    """Measure networks of the same widths: dense, and masked at random or pruned to ``sizes`` edges."""
    train = context.data.train
    per_epoch = len(train) // _BATCH if len(train) >= _BATCH else 1
    size = min(_BATCH, len(train))
    epochs = math.ceil(_STEPS / per_epoch)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = training_batches(len(train), size, context.seed, epoch * per_epoch, (epoch + 1) * per_epoch)
        return train.stream(order, torch.device("cpu"))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(context.seed, 3))
        dense = baselines.fit(baselines.dense(net.layout, net.config), batches, per_epoch, epochs)
        masked, pruned = [], []
        for edges in sizes:
            module: nn.Module = baselines.dense(net.layout, net.config)
            baselines.mask_randomly(module, edges)
            masked.append(
                Point(edges, _test_accuracy(baselines.fit(module, batches, per_epoch, epochs), context.data.test))
            )
            module = copy.deepcopy(dense)
            baselines.prune_smallest(module, edges)
            module = baselines.fit(module, batches, per_epoch, math.ceil(epochs / 2))
            pruned.append(Point(edges, _test_accuracy(module, context.data.test)))
    return {
        "dense": [Point(net.layout.possible, _test_accuracy(dense, context.data.test))],
        "random_mask": masked,
        "magnitude_pruned": pruned,
    }


def _test_accuracy(module: nn.Module, split: Split) -> float:
    with torch.inference_mode():
        batches = split.stream(evaluation_batches(len(split), _BATCH), torch.device("cpu"))
        return sum(int((module(inputs).argmax(-1) == labels).sum()) for inputs, labels in batches) / len(split)


def _json(point: Point) -> dict[str, float]:
    return {"edges": round(point.edges, 1), "accuracy": round(point.accuracy, 6)}


def _text(singles: list[Point], weighted: Point, own: Point, others: dict[str, list[Point]]) -> str:
    best = max(singles, key=lambda point: point.accuracy)
    rows = [("best single snapshot", best), ("weighted ensemble", weighted), ("progressive", own)]
    rows += [(name.replace("_", " "), point) for name, points in others.items() for point in points]
    table = "\n".join(f"| {name} | {point.edges:,.0f} | {point.accuracy:.2%} |" for name, point in rows)
    return (
        "Test accuracy and edges computed per sample. The dense network has the same widths; a fixed random mask and "
        "magnitude pruning (torch.nn.utils.prune) leave it as many edges as the last snapshot of each phase has. "
        f"Adam trained these networks for {_STEPS} steps of {_BATCH} samples with a falling learning rate, and the "
        "pruned ones for half as many steps again after pruning.\n\n"
        f"| answer by | edges per sample | accuracy |\n|---|---|---|\n{table}"
    )
