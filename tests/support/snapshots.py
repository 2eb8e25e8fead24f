"""Small snapshots networks for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdk import InputSpec
from zoo.artifacts.writer import write_artifact
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.draft import Draft
from zoo.families.snapshots.findings import training_findings
from zoo.families.snapshots.model import SnapshotNet
from zoo.utils.provenance import gather_provenance

SHORT = [
    "train.epochs=12",
    "model.phases=[{name: coarse, until: 6, structures: 4, snapshots: 1}, "
    "{name: fine, until: 12, structures: 8, snapshots: 2}]",
    "model.stabilisation=2",
    "model.trigger={every: 1, window: 2}",
]
"""Overrides of snapshots-digits: a training of seconds that grows a few times."""
SPEC = InputSpec("image", (1, 2, 3), (0.5,), (0.25,))
LABELS = ["a", "b", "c"]
IMAGES = np.random.default_rng(0).random((9, 1, 2, 3), np.float32)
Array = NDArray[Any]
Trained = tuple[Path, SnapshotNet]
"""An artifact's folder and the network in it."""


def four_snapshots(**options: Any) -> tuple[SnapshotNet, SnapshotsConfig]:
    """Return a network with four snapshots: two coarse, a medium and a fine one; the first has no weight."""
    torch.manual_seed(0)
    config = SnapshotsConfig(**{"hidden": (5, 4), "max_density": 0.9, **options})
    net = SnapshotNet(config, Task(SPEC.shape, len(LABELS)))
    saved = [net.freeze(1, 0, 0.25)]
    for epoch, phase in ((50, 0), (100, 1), (150, 2)):
        free = [(s, 15 + (s + phase) % 3) for s in range(3 * phase, 3 * phase + 6)] + [(14, 6 + phase)]
        pairs = torch.tensor([p for p in free if config.routing.reciprocal or p[0] < p[1]])
        if epoch > 50:
            net.lay(pairs[:, 0], pairs[:, 1], torch.randn(len(pairs)))
        with torch.no_grad():
            net.weight[: int(net.edges)] += 0.5
            net.bias.normal_()
        saved.append(net.freeze(epoch, phase, epoch / 200))
    net.snapshots.replace(saved)
    net.set_ensemble(torch.tensor([0.0, 0.2, 0.3, 0.5]), 0.6)
    net.record_growth(50, 3)
    return net.eval(), config


def export(folder: Path, **options: Any) -> Trained:
    """Write the network of :func:`four_snapshots` as an artifact in ``folder/tiny``."""
    net, config = four_snapshots(**options)
    path = write_artifact(
        folder / "tiny",
        name="tiny",
        module=net,
        model_config=config,
        input_spec=SPEC,
        labels=LABELS,
        metrics=training_findings(net),
        provenance=gather_provenance("seed: 0\n", seed=0, steps=0, wall_seconds=0.0, data={"name": "none"}),
        recipe_yaml="seed: 0\n",
        licence="MIT",
        formats=("safetensors", "onnx"),
    )
    return path, net


def with_deltas(tensors: dict[str, Array]) -> dict[str, Array]:
    """Return a file's tensors in the older form: a base, and the bits of later snapshots that differ from it."""
    older = dict(tensors)
    values = older.pop("snapshots.values")
    rest, entries = len(values) - 1, values.shape[1]
    older |= {
        "snapshots.base": values[0],
        "snapshots.index": np.zeros((rest, entries), np.int32),
        "snapshots.value": np.zeros((rest, entries), np.float32),
        "snapshots.sizes": np.zeros(rest, np.int32),
    }
    for number in range(1, int((tensors["snapshots.facts"][:, 0] > 0).sum())):
        index = np.flatnonzero(values[number].view(np.int32) != values[0].view(np.int32))
        older["snapshots.sizes"][number - 1] = len(index)
        older["snapshots.index"][number - 1, : len(index)] = index
        older["snapshots.value"][number - 1, : len(index)] = values[number][index]
    return older


def prepared() -> Tensor:
    """Return ``IMAGES`` as the network takes them."""
    return torch.from_numpy(SPEC.prepare(IMAGES)[0])


def members(*accuracies: float, samples: int = 4000, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return probabilities ``[S, N, C]`` of independent members of these accuracies, confident if right, and labels."""
    noise = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=noise)
    rows = []
    for accuracy in accuracies:
        right = torch.rand(samples, generator=noise) < accuracy
        wrong = (labels + torch.randint(1, classes, (samples,), generator=noise)) % classes
        answer = torch.where(right, labels, wrong)
        confidence = torch.where(right, 0.9, 0.5)[:, None]
        rest = (1 - confidence) / (classes - 1)
        rows.append(torch.where(torch.arange(classes) == answer[:, None], confidence, rest))
    return torch.stack(rows), labels


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    """Return the accuracy of probabilities ``[N, C]``."""
    return float((probabilities.argmax(-1) == labels).float().mean())


def lay(net: SnapshotNet, *edges: tuple[int, int, float]) -> None:
    """Add edges (source, target, weight) to a network."""
    source, target, weight = zip(*edges, strict=True)
    net.lay(torch.tensor(source), torch.tensor(target), torch.tensor(weight))


def full(build: Callable[..., SnapshotNet], **options: Any) -> SnapshotNet:
    """Return a network with a third of all allowed edges, including edges that lead back."""
    net = build(**{"hidden": (5, 4), "max_density": 1.0, "routing": {"reciprocal": 0.2}, **options})
    layer = net.layout.layer_of
    allowed = (layer[:, None] != layer) & (layer != 0)
    allowed[net.source[: net.edges].long(), net.target[: net.edges].long()] = False
    pairs = allowed.nonzero()[::3][: net.room]
    lay(net, *[(int(s), int(t), float(torch.randn(()))) for s, t in pairs])
    with torch.no_grad():
        net.bias.normal_()
    return net


def reached_by_input(draft: Draft) -> Tensor:
    """Return bool ``[units]``: True for units that the input reaches over forward edges."""
    reached = torch.zeros(draft.layout.units, dtype=torch.bool)
    reached[draft.layout.layer(0)] = True
    for number in range(1, draft.layout.output + 1):
        units = draft.layout.layer(number)
        reached[units] = (draft.connected[: units.start, units] & reached[: units.start, None]).any(0)
    return reached
