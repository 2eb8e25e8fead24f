"""The claims made for normnets, measured in small trainings beside two controls.

The public brains repository claims that connections drop out by gradient descent (so most can be pruned), that layers
without biases transfer better, that training finds an earlier minimum again, and that one set of parameters serves
several tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from zoo.data.split import Data
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.layers import Layer
from zoo.families.normnet.trainee import Parts, Samples, Trainee

FRACTIONS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
"""Pruned fractions of each layer's weights."""
THRESHOLD = 0.9
"""Accuracy from which a task counts as learned."""
NEAR_ZERO = 0.1
"""A connection below this fraction of its layer's root mean square strength counts as dropped."""


@dataclass(frozen=True)
class Budget:
    """The size of the measurement: samples, and steps per phase."""

    seeds: tuple[int, ...] = (0, 1, 2)
    samples: int = 8000
    """Training samples, at most."""
    watched: int = 1000
    """Validation samples, at most."""
    held: int = 2000
    """Test samples, at most."""
    batch: int = 128
    steps: int = 400
    """Steps of the training before pruning, and steps per task of the training on several."""
    task_steps: int = 200
    """Steps on each of A, B and A again."""
    check_every: int = 5
    """Steps between two checks of validation accuracy."""
    trial_steps: int = 150
    """Steps of a training that tries settings."""
    trial_seeds: int = 2
    """Number of seeds that try each of the settings."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    """Learning rates to try."""
    factors: tuple[float, ...] = (1.0, 0.5, 0.25)
    """Factors of the config's hidden scale to try: a scale that suits a long training may saturate a short one."""
    sweep_seeds: int = 2
    """Number of seeds with which claims 2 and 3 are measured at every rate and scale."""


@dataclass(frozen=True)
class Pruning:
    """Claim 1: test accuracy against ``FRACTIONS`` pruned, and the share of near-zero connections around training."""

    curve: list[float]
    near_zero_before: float
    near_zero_after: float


@dataclass(frozen=True)
class Sequel:
    """Claims 2 and 3: A, then B, then A again.

    Steps are counted until validation accuracy reaches ``THRESHOLD``, and None if it never does.
    """

    steps_a: int | None
    steps_b: int | None
    """After A."""
    steps_b_alone: int | None
    """From new weights."""
    steps_a_again: int | None
    left_of_a: float
    """Test accuracy on A after B."""
    left_among_a: float
    """The same if the network can predict only classes of A."""


@dataclass(frozen=True)
class Setting:
    """Claims 2 and 3 at one rate and one hidden scale."""

    rate: float
    hidden_scale: float
    sequels: list[Sequel]
    """One per seed."""

    @property
    def learns(self) -> bool:
        """True if A and, from new weights, B were reached with every seed; without, the claims have no meaning."""
        return all(s.steps_a is not None and s.steps_b_alone is not None for s in self.sequels)


def take_parts(data: Data, budget: Budget) -> Parts:
    """Draw a random subset of each split, without augmentation."""
    return Parts(
        Samples.draw(data.train, budget.samples),
        Samples.draw(data.validation, budget.watched),
        Samples.draw(data.test, budget.held),
        data.task,
    )


def twins(config: NormnetConfig) -> dict[str, NormnetConfig]:
    """Return the normnet and its two controls: W for tan W, and layers with biases (whose sums need no scaling)."""
    base = config.model_copy(update={"layer": "norm", "tree": None, "residual": False})
    convolutions = tuple(c.model_copy(update={"scale": 1.0}) for c in base.convolutions)
    plain = {"layer": "plain", "hidden_scale": 1.0, "convolutions": convolutions}
    return {
        "norm": base,
        "linear W/n": base.model_copy(update={"layer": "linear"}),
        "biased": base.model_copy(update=plain),
    }


def choose_settings(config: NormnetConfig, parts: Parts, budget: Budget) -> tuple[NormnetConfig, float]:
    """Return the config with the hidden scale, and the rate, that do best on validation after short trainings."""
    results: list[tuple[float, NormnetConfig, float]] = []
    for tried, rate in _grid(config, budget):
        accuracies = []
        for seed in budget.seeds[: budget.trial_seeds]:
            trainee = Trainee(tried, parts.task, rate, seed)
            trainee.train([parts.train], budget.trial_steps, budget.batch)
            accuracies.append(trainee.accuracy(parts.validation))
        results.append((sum(accuracies) / len(accuracies), tried, rate))
    _, chosen, rate = max(results, key=lambda result: result[0])
    return chosen, rate


def measure_pruning(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> Pruning:
    """Train on one task, then prune."""
    trainee = Trainee(config, parts.task, rate, seed)
    before = near_zero(trainee.module)
    trainee.train([parts.train], budget.steps, budget.batch)
    return Pruning(pruning_curve(trainee.module, parts.test), before, near_zero(trainee.module))


@torch.no_grad()
def near_zero(module: nn.Module) -> float:
    """Return the share of connections below ``NEAR_ZERO`` times the root mean square strength of their layer."""
    strengths = [layer.strengths().abs() for layer in module.modules() if isinstance(layer, Layer)]
    small = [int((s < NEAR_ZERO * s.square().mean().sqrt()).sum()) for s in strengths]
    return sum(small) / sum(s.numel() for s in strengths)


@torch.no_grad()
def pruning_curve(module: nn.Module, samples: Samples) -> list[float]:
    """Return the accuracy with each of ``FRACTIONS`` of every layer's weights, the weakest, set to zero."""
    layers = [layer for layer in module.modules() if isinstance(layer, Layer)]
    originals = [layer.weight.clone() for layer in layers]
    curve = []
    for fraction in FRACTIONS:
        for layer, weight in zip(layers, originals, strict=True):
            layer.weight.copy_(weight)
            weakest = layer.strengths().abs().flatten().argsort()[: round(fraction * weight.numel())]
            layer.weight.view(-1)[weakest] = 0
        curve.append(float((module(samples.inputs).argmax(-1) == samples.labels).float().mean()))
    for layer, weight in zip(layers, originals, strict=True):
        layer.weight.copy_(weight)
    return curve


def sweep(config: NormnetConfig, parts: Parts, budget: Budget) -> list[Setting]:
    """Measure claims 2 and 3 at every rate and scale: a network that is good at one setting may be bad at the next."""
    seeds = budget.seeds[: budget.sweep_seeds]
    return [
        Setting(rate, tried.hidden_scale, [measure_sequel(tried, parts, rate, seed, budget) for seed in seeds])
        for tried, rate in _grid(config, budget)
    ]


def _grid(config: NormnetConfig, budget: Budget) -> Iterator[tuple[NormnetConfig, float]]:
    """Yield the config with every scale, and every rate."""
    for factor in budget.factors if config.hidden else (1.0,):
        for rate in budget.rates:
            yield config.model_copy(update={"hidden_scale": factor * config.hidden_scale}), rate


def measure_sequel(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> Sequel:
    """Train on A, the first half of the classes, then on B, the other half, then on A again."""
    classes = range(parts.task.num_classes)
    first, second = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    a, b = parts.map(lambda s: s.of(first)), parts.map(lambda s: s.of(second))
    trainee, fresh = (Trainee(config, parts.task, rate, seed) for _ in range(2))
    steps_a = _phase(trainee, a, budget)
    steps_b = _phase(trainee, b, budget)
    left, among = trainee.accuracy(a.test), trainee.accuracy(a.test, first)
    again = _phase(trainee, a, budget, until_reached=True)
    alone = _phase(fresh, b, budget, until_reached=True)
    return Sequel(steps_a, steps_b, alone, again, left, among)


def _phase(trainee: Trainee, parts: Parts, budget: Budget, until_reached: bool = False) -> int | None:
    """Train on a task at a constant rate; return the step after which validation first reached the goal."""
    reached = None
    for step in range(1, budget.task_steps + 1):
        trainee.step(parts.train, budget.batch)
        if reached is None and step % budget.check_every == 0 and trainee.accuracy(parts.validation) >= THRESHOLD:
            reached = step
            if until_reached:
                break
    return reached


def measure_tasks(config: NormnetConfig, parts: Parts, rate: float, seed: int, budget: Budget) -> list[float]:
    """Claim 4: train on three tasks in turns and return the test accuracy on each.

    The tasks are the inputs as they are and in two other orders. Each gets as many steps as the single task of
    :func:`measure_pruning`.
    """
    tasks = [parts.map(lambda s, i=i: s.permuted(i)) for i in range(3)]  # type: ignore[misc]
    trainee = Trainee(config, parts.task, rate, seed)
    trainee.train([task.train for task in tasks], budget.steps, budget.batch)
    return [trainee.accuracy(task.test) for task in tasks]
