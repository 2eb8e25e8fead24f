"""What is claimed of normnets, measured on small trainings beside two controls.

The claims of the public brains repository: connections drop out by gradient descent (so most can be pruned), layers
without biases transfer better, an earlier minimum is found again, and one set of parameters serves several tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.sampling import Batch
from zoo.data.split import Data, Split
from zoo.data.task import Task
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.layers import Layer
from zoo.families.normnet.learner import NormnetLearner
from zoo.families.normnet.model import Normnet

FRACTIONS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
"""Of the weights of each layer that are pruned."""
THRESHOLD = 0.9
"""Accuracy at which a task counts as learned."""
NEAR_ZERO = 0.1
"""A connection below this share of its layer's root mean square strength counts as dropped."""


@dataclass(frozen=True)
class Budget:
    """How much is trained: sizes, and steps per phase."""

    seeds: tuple[int, ...] = (0, 1, 2)
    samples: int = 8000
    watched: int = 1000
    """Samples at most of validation."""
    held: int = 2000
    """Samples at most of test."""
    batch: int = 128
    steps: int = 400
    """Of the training that is pruned, and per task of the one with several."""
    task_steps: int = 200
    """Of each of A, B and A again."""
    check_every: int = 5
    trial_steps: int = 150
    trial_seeds: int = 2
    """How many of the seeds the settings are tried with."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    factors: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Of the config's hidden scale: what suits a long training may be saturated at the start of a short one."""


@dataclass(frozen=True)
class Samples:
    """Prepared inputs ``[N, *input_shape]`` and labels ``[N]``."""

    inputs: Tensor
    labels: Tensor

    def of(self, classes: Sequence[int]) -> Samples:
        chosen = torch.isin(self.labels, torch.tensor(classes))
        return Samples(self.inputs[chosen], self.labels[chosen])

    def permuted(self, seed: int) -> Samples:
        """The same with the values of every input in one other order; seed 0 leaves them."""
        if seed == 0:
            return self
        order = torch.randperm(self.inputs[0].numel(), generator=torch.Generator().manual_seed(seed))
        return Samples(self.inputs.flatten(1)[:, order].view_as(self.inputs), self.labels)


@dataclass(frozen=True)
class Parts:
    """What the claims are measured on; choices are made on validation, reports on test."""

    train: Samples
    validation: Samples
    test: Samples
    task: Task

    def map(self, change: Callable[[Samples], Samples]) -> Parts:
        return Parts(change(self.train), change(self.validation), change(self.test), self.task)


def take_parts(data: Data, budget: Budget) -> Parts:
    """A random subset of each part, without augmentation."""
    return Parts(
        _take(data.train, budget.samples),
        _take(data.validation, budget.watched),
        _take(data.test, budget.held),
        data.task,
    )


def _take(split: Split, count: int) -> Samples:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    raw, labels = split[Batch(order[:count])]
    return Samples(split.prepare(raw), labels)


def twins(config: NormnetConfig) -> dict[str, NormnetConfig]:
    """The normnet and its two controls: W for tan W, and layers with biases (whose sums need no scaling)."""
    base = config.model_copy(update={"layer": "norm", "tree": None, "residual": False})
    convolutions = tuple(c.model_copy(update={"scale": 1.0}) for c in base.convolutions)
    plain = {"layer": "plain", "hidden_scale": 1.0, "convolutions": convolutions}
    return {
        "norm": base,
        "linear W/n": base.model_copy(update={"layer": "linear"}),
        "biased": base.model_copy(update=plain),
    }


class Pupil:
    """One network in training with Adam."""

    def __init__(self, config: NormnetConfig, task: Task, rate: float, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = Normnet(config, task)
        self.learner = NormnetLearner(self.module, config)
        self.rate = rate
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=rate)
        self.order = torch.Generator().manual_seed(seed)

    def step(self, samples: Samples, batch: int, rate: float | None = None) -> None:
        chosen = torch.randint(len(samples.labels), (batch,), generator=self.order)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate if rate is None else rate
        self.optimizer.zero_grad()
        loss = self.learner.training_step(samples.inputs[chosen], samples.labels[chosen]).loss
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.learner.on_step_end(0)

    def train(self, tasks: Sequence[Samples], steps: int, batch: int) -> None:
        """``steps`` batches of each task in turns, while the rate falls to 0 along half a cosine."""
        total = steps * len(tasks)
        for number in range(total):
            rate = self.rate * (1 + math.cos(math.pi * number / total)) / 2
            self.step(tasks[number % len(tasks)], batch, rate)

    @torch.no_grad()
    def accuracy(self, samples: Samples, among: Sequence[int] | None = None) -> float:
        """Share of right labels; ``among``: only these classes can be answered."""
        logits = self.module(samples.inputs)
        if among is not None:
            barred = [c for c in range(logits.shape[1]) if c not in among]
            logits[:, barred] = -math.inf
        return float((logits.argmax(-1) == samples.labels).float().mean())


def choose_settings(config: NormnetConfig, parts: Parts, budget: Budget) -> tuple[NormnetConfig, float]:
    """The config with the hidden scale, and the rate, that did best on validation after short trainings."""
    results: list[tuple[float, NormnetConfig, float]] = []
    for factor in budget.factors if config.hidden else (1.0,):
        tried = config.model_copy(update={"hidden_scale": factor * config.hidden_scale})
        for rate in budget.rates:
            accuracies = []
            for seed in budget.seeds[: budget.trial_seeds]:
                pupil = Pupil(tried, parts.task, rate, seed)
                pupil.train([parts.train], budget.trial_steps, budget.batch)
                accuracies.append(pupil.accuracy(parts.validation))
            results.append((sum(accuracies) / len(accuracies), tried, rate))
    _, chosen, rate = max(results, key=lambda result: result[0])
    return chosen, rate


# --- claim 1: pruning ---


@torch.no_grad()
def near_zero(module: nn.Module) -> float:
    """Share of the connections below ``NEAR_ZERO`` times the root mean square strength of their layer."""
    strengths = [layer.strengths().abs() for layer in module.modules() if isinstance(layer, Layer)]
    small = [int((s < NEAR_ZERO * s.square().mean().sqrt()).sum()) for s in strengths]
    return sum(small) / sum(s.numel() for s in strengths)


@torch.no_grad()
def pruning_curve(module: nn.Module, samples: Samples) -> list[float]:
    """Accuracy with each of ``FRACTIONS`` of every layer's weights, the weakest, set to zero."""
    layers = [layer for layer in module.modules() if isinstance(layer, Layer)]
    kept = [layer.weight.clone() for layer in layers]
    curve = []
    for fraction in FRACTIONS:
        for layer, weight in zip(layers, kept, strict=True):
            layer.weight.copy_(weight)
            weakest = layer.strengths().abs().flatten().argsort()[: round(fraction * weight.numel())]
            layer.weight.view(-1)[weakest] = 0
        curve.append(float((module(samples.inputs).argmax(-1) == samples.labels).float().mean()))
    for layer, weight in zip(layers, kept, strict=True):
        layer.weight.copy_(weight)
    return curve


@dataclass(frozen=True)
class Pruning:
    curve: list[float]
    near_zero_before: float
    near_zero_after: float


def measure_pruning(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> Pruning:
    pupil = Pupil(config, parts.task, rate, seed)
    before = near_zero(pupil.module)
    pupil.train([parts.train], budget.steps, budget.batch)
    return Pruning(pruning_curve(pupil.module, parts.test), before, near_zero(pupil.module))


# --- claims 2 and 3: A, then B, then A again ---


@dataclass(frozen=True)
class Sequel:
    """A, B and A again. Steps are those to ``THRESHOLD`` on validation, None where it was not reached."""

    steps_a: int | None
    steps_b: int | None
    """After A."""
    steps_b_alone: int | None
    """From fresh weights."""
    steps_a_again: int | None
    left_of_a: float
    """Test accuracy on A after B."""
    left_among_a: float
    """The same when only classes of A can be answered."""
    curves: dict[str, list[float]]
    """Validation accuracy on ``a`` and ``b`` over all three phases, each ``check_every`` steps."""


def measure_sequel(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> Sequel:
    """A is the first half of the classes, B the other."""
    classes = range(parts.task.num_classes)
    first, second = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    a, b = parts.map(lambda s: s.of(first)), parts.map(lambda s: s.of(second))
    watched = {"a": a.validation, "b": b.validation}
    pupil, fresh = (Pupil(config, parts.task, rate, seed) for _ in range(2))
    curves: dict[str, list[float]] = {"a": [], "b": []}
    steps_a = _phase(pupil, a.train, "a", watched, curves, budget)
    steps_b = _phase(pupil, b.train, "b", watched, curves, budget)
    left, among = pupil.accuracy(a.test), pupil.accuracy(a.test, first)
    again = _phase(pupil, a.train, "a", watched, curves, budget)
    alone = _phase(fresh, b.train, "b", watched, {"a": [], "b": []}, budget)
    return Sequel(steps_a, steps_b, alone, again, left, among, curves)


def _phase(
    pupil: Pupil,
    samples: Samples,
    goal: str,
    watched: dict[str, Samples],
    curves: dict[str, list[float]],
    budget: Budget,
) -> int | None:
    """Train at a constant rate; the step at which the goal was first reached."""
    reached = None
    for step in range(1, budget.task_steps + 1):
        pupil.step(samples, budget.batch)
        if step % budget.check_every:
            continue
        for name, held in watched.items():
            curves[name].append(pupil.accuracy(held))
        if reached is None and curves[goal][-1] >= THRESHOLD:
            reached = step
    return reached


# --- claim 4: several tasks at once ---


def measure_tasks(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> list[float]:
    """Test accuracy on each of three tasks (the inputs as they are and in two other orders), trained in turns.

    Each task gets as many steps as the single one of :func:`measure_pruning`.
    """
    tasks = [parts.map(lambda s, i=i: s.permuted(i)) for i in range(3)]  # type: ignore[misc]
    pupil = Pupil(config, parts.task, rate, seed)
    pupil.train([task.train for task in tasks], budget.steps, budget.batch)
    return [pupil.accuracy(task.test) for task in tasks]
