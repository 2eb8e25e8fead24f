"""Small trainings for the claims: samples in memory, and a network in training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.sampling import Batch
from zoo.data.split import Split
from zoo.data.task import Task
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.learner import NormnetLearner
from zoo.families.normnet.model import Normnet


@dataclass(frozen=True)
class Samples:
    """Prepared inputs ``[N, *input_shape]`` and labels ``[N]``."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def draw(cls, split: Split, count: int) -> Samples:
        """Draw up to ``count`` random samples of a split, always the same ones, without augmentation."""
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
        raw, labels = split[Batch(order[:count])]
        return cls(split.prepare(raw), labels)

    def of(self, classes: Sequence[int]) -> Samples:
        """Return the samples of some classes."""
        chosen = torch.isin(self.labels, torch.tensor(classes))
        return Samples(self.inputs[chosen], self.labels[chosen])

    def permuted(self, seed: int) -> Samples:
        """Return the samples with the values of every input in one other order; seed 0 keeps the order."""
        if seed == 0:
            return self
        order = torch.randperm(self.inputs[0].numel(), generator=torch.Generator().manual_seed(seed))
        return Samples(self.inputs.flatten(1)[:, order].view_as(self.inputs), self.labels)


@dataclass(frozen=True)
class Parts:
    """Samples of the three splits; choices are made on validation, results are reported on test."""

    train: Samples
    validation: Samples
    test: Samples
    task: Task

    def map(self, change: Callable[[Samples], Samples]) -> Parts:
        """Apply a function to the samples of each split."""
        return Parts(change(self.train), change(self.validation), change(self.test), self.task)


class Trainee:
    """A network in training with Adam. Its seed draws the initial weights and the batches."""

    def __init__(self, config: NormnetConfig, task: Task, rate: float, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = Normnet(config, task)
        self.learner = NormnetLearner(self.module, config)
        self.rate = rate
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=rate)
        self.order = torch.Generator().manual_seed(seed)

    def step(self, samples: Samples, batch: int, rate: float | None = None) -> None:
        """Take one step on a random batch, at the trainee's learning rate unless another is given."""
        chosen = torch.randint(len(samples.labels), (batch,), generator=self.order)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate if rate is None else rate
        self.optimizer.zero_grad()
        loss = self.learner.training_step(samples.inputs[chosen], samples.labels[chosen]).loss
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.learner.on_step_end(0)

    def train(self, tasks: Sequence[Samples], steps: int, batch: int) -> None:
        """Take ``steps`` steps on each task in turns, while the rate falls to 0 along half a cosine."""
        total = steps * len(tasks)
        for number in range(total):
            rate = self.rate * (1 + math.cos(math.pi * number / total)) / 2
            self.step(tasks[number % len(tasks)], batch, rate)

    @torch.no_grad()
    def accuracy(self, samples: Samples, among: Sequence[int] | None = None) -> float:
        """Return the accuracy in [0, 1]; with ``among``, the network can predict only these classes."""
        logits = self.module(samples.inputs)
        if among is not None:
            barred = [c for c in range(logits.shape[1]) if c not in among]
            logits[:, barred] = -math.inf
        return float((logits.argmax(-1) == samples.labels).float().mean())
