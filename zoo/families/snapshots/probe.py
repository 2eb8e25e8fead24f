"""`zoo probe` of a snapshots network: its snapshots, ensemble and cascade, and the edges that each computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sdk.families.snapshots import answer_progressively, cascade_of
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.families.probing import Findings, ProbeContext
from zoo.families.snapshots import figures
from zoo.families.snapshots.model import SnapshotNet
from zoo.utils.figures import save_png

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
    costs = [net.cost_of(number)[1] for number in range(len(net.snapshots))]
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
    chosen = max(range(len(singles)), key=lambda number: (net.snapshots[number].accuracy, -costs[number]))
    save_png(figures.draw_growth(net, context.history), context.figures / "growth.png")
    save_png(figures.draw_inputs(net, context.task.input_shape), context.figures / "inputs.png")
    save_png(figures.draw_spent(singles, weighted, curve, own), context.figures / "spent.png")
    metrics = {
        "snapshots": [_json(point) for point in singles],
        "weighted": _json(weighted),
        "progressive": _json(own),
        "chosen_on_validation": chosen,
    }
    return Findings(metrics, _text(net, singles, chosen, weighted, own), figures.CAPTIONS)


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


def _json(point: Point) -> dict[str, float]:
    return {"edges": round(point.edges, 1), "accuracy": round(point.accuracy, 6)}


def _text(net: SnapshotNet, singles: list[Point], chosen: int, weighted: Point, own: Point) -> str:
    """Return the table, and the snapshots that the ensemble leaves out."""
    last = singles[-1]
    rows = [
        (f"single snapshot {chosen}, the best on validation", singles[chosen]),
        (f"single snapshot {len(singles) - 1}, the last", last),
        ("weighted ensemble", weighted),
        ("progressive", own),
    ]
    table = "\n".join(f"| {name} | {point.edges:,.0f} | {point.accuracy:.2%} |" for name, point in rows)
    silent = [number for number, weight in enumerate(net.mixture[: len(singles)].tolist()) if weight == 0]
    left_out = f" Snapshots {', '.join(map(str, silent))} have weight 0 in the ensemble." if silent else ""
    return (
        "Test accuracy and edges computed per sample; every choice was made on validation. The weighted ensemble "
        f"computes {weighted.edges / last.edges:.1f} times as many edges as the last snapshot alone and is "
        f"{100 * (weighted.accuracy - last.accuracy):+.2f} points from it; progressive answers compute "
        f"{own.edges / last.edges:.2f} times as many and are {100 * (own.accuracy - last.accuracy):+.2f} points from "
        f"it.{left_out} `zoo compare` sets the model beside pruned and sparse networks of the same widths.\n\n"
        f"| answer by | edges per sample | accuracy |\n|---|---|---|\n{table}"
    )
