"""A growing network for a loop of one's own: each call trains an epoch, and the rules decide on growth at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.learner import SnapshotsLearner
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.pruning import living
from zoo.utils.errors import BuildError

Batches = Iterable[tuple[Tensor, Tensor]]
"""Inputs ``[B, ...]`` and integer labels ``[B]``, such as a DataLoader's."""


@dataclass(frozen=True)
class Connectivity:
    """The edges of a network."""

    connections: int
    possible: int
    """Edges between adjacent layers that a dense network would have."""
    layers: tuple[int, ...]
    """Edges into each layer after the input."""

    @property
    def share(self) -> float:
        """Connections as a share of those possible."""
        return self.connections / self.possible


@dataclass(frozen=True)
class EpochReport:
    """The result of an epoch."""

    epoch: int
    """Its number, from 1."""
    loss: float
    """Mean over the training samples."""
    accuracy: float
    """In [0, 1]: on the validation batches, without them on the training samples as they were learned."""
    added: int
    """Edges that grew at the end of the epoch."""
    connections: int
    finished: bool
    """True if the rules end the training here (rule 12)."""


class GrowingNetwork(nn.Module):
    """A sparse network that grows by the 13 rules: inputs ``[B, ...]``, flattened, -> logits ``[B, classes]``.

    It starts with ``density`` of the connections that layers of ``in_features``, ``hidden`` and ``classes`` units could
    have. :meth:`train_epoch` trains and grows it, :meth:`finish` fits the ensemble of its snapshots, and ``zoo.save``
    writes its ``net``. ``rules`` are sections of the recipe's ``model:``, such as ``trigger={"every": 3}``. Raises
    ValueError for options that do not fit each other.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Iterable[int],
        classes: int,
        *,
        density: float = 1e-4,
        activation: str = "tanh",
        **rules: Any,
    ) -> None:
        super().__init__()
        start = {**rules.pop("start", {}), "density": density}
        try:
            config = SnapshotsConfig.model_validate(
                {**rules, "hidden": tuple(hidden), "activation": activation, "start": start}
            )
        except ValidationError as error:
            found = error.errors()[0]
            place = f"{'.'.join(map(str, found['loc']))}: " if found["loc"] else ""
            raise ValueError(f"{place}{found['msg'].removeprefix('Value error, ')}") from error
        self.net = SnapshotNet(config, Task((in_features,), classes))
        self._learner = SnapshotsLearner(self.net, config)
        self._steps = 0
        self._optimizer: Optimizer | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Inputs ``[B, ...]`` -> logits ``[B, classes]``, in evaluation after :meth:`finish` the ensemble's."""
        logits: Tensor = self.net(x.flatten(1))
        return logits

    def check_finished(self) -> NoReturn:
        """Raise BuildError: ``zoo.save`` calls this, and writes the network without what trains it."""
        raise BuildError("GrowingNetwork: found the network with its training; save its network, network.net")

    def connectivity(self) -> Connectivity:
        """Count the edges."""
        _, target, _ = living(self.net)
        layout = self.net.layout
        counts = torch.bincount(layout.layer_of[target], minlength=layout.output + 1)[1:]
        return Connectivity(len(target), layout.possible, tuple(counts.tolist()))

    def train_epoch(
        self,
        batches: Batches,
        optimizer: Optimizer,
        criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        validation: Batches | None = None,
    ) -> EpochReport:
        """Take an optimizer step per batch, then decide on a snapshot and on growth.

        ``criterion(logits, labels)`` is the mean loss of a batch. Accuracy decides on snapshots and on the end of the
        training; it is measured on the ``validation`` batches, else on the training samples. Raises ValueError without
        a batch.
        """
        learner, net = self._learner, self.net.train()
        if optimizer is not self._optimizer:
            self._optimizer = optimizer
            learner.on_start(optimizer)
        total, right, count = 0.0, 0, 0
        for inputs, labels in batches:
            flat = inputs.flatten(1)
            learner.remember(flat, labels)
            logits = net(flat)
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            self._steps += 1
            learner.on_step_end(self._steps)
            total += float(loss.detach()) * len(labels)
            right += int((logits.detach().argmax(-1) == labels).sum())
            count += len(labels)
        if not count:
            raise ValueError("batches: found none, expected at least one batch of inputs and labels")
        before = int(net.edges)
        accuracy = right / count if validation is None else self._accuracy(validation)
        learner.on_epoch_end(learner.epoch + 1)
        learner.on_validation(self._steps, accuracy)
        edges = int(net.edges)
        return EpochReport(learner.epoch, total / count, accuracy, edges - before, edges, learner.finished)

    def finish(self, validation: Batches) -> None:
        """Save the last snapshot and fit the ensemble, by which the network answers from now on in evaluation."""
        self._learner.on_finish((inputs.flatten(1), labels) for inputs, labels in validation)

    def _accuracy(self, batches: Batches) -> float:
        with torch.no_grad():
            hits = torch.cat([self(inputs).argmax(-1) == labels for inputs, labels in batches])
        return float(hits.float().mean())
