"""Learning one task after another, A, B and A again: a rule that learns from data, and SGD with as many passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from zoo.families.nca.config import TasksConfig
from zoo.families.nca.model import MetaNca
from zoo.families.nca.networks import read_logits, run_networks
from zoo.families.nca.population import Wiring
from zoo.families.nca.tasks import Examples, draw_task, make_support_set, stack_inputs, standardisation

SEEDS = 30
RATES = (0.03, 0.1, 0.3, 1.0)
"""Rates of SGD; the best on the examples of A after its first phase counts."""
_BATCH = 8
_FEATURES = 8
_CLASSES = 3
_DIGITS = ((0, 1, 2), (3, 4, 5))
_Split = tuple[Examples, Examples]
"""Support and query examples."""


@dataclass(frozen=True)
class Pair:
    """Two tasks with the same inputs, one of each per seed."""

    name: str
    tasks: tuple[list[_Split], list[_Split]]
    outputs: int
    """Output units of a network."""


def measure_continual(module: MetaNca, seed: int, seeds: int = SEEDS) -> list[dict[str, Any]]:
    """Return one row per pair of tasks and depth, with the accuracies on both tasks after every pass.

    ``rule_a``, ``rule_b``, ``sgd_a`` and ``sgd_b`` list the mean test accuracy over the seeds after each of three times
    ``epochs`` passes over the examples: of A, of B, and of A again. ``forgot`` has, per seed and learner, the loss of
    accuracy on A in the phase of B, as mean and sample standard deviation.
    """
    rows = []
    for pair in _pairs(seed, seeds):
        for layers in sorted(set(module.config.meta.layers)):
            sgd, rate = _by_sgd(module, pair, layers, seed)
            found = {"rule": _by_rule(module, pair, layers, seed), "sgd": sgd}
            rows.append({"data": pair.name, "layers": layers, "rate": rate, **_summary(found, module.config.epochs)})
    return rows


def _summary(found: dict[str, Tensor], epochs: int) -> dict[str, Any]:
    """Return the part of a row that accuracies ``[3 * epochs, 2, seeds]`` of each learner give."""
    row: dict[str, Any] = {}
    for name, accuracies in found.items():
        for number, task in enumerate("ab"):
            row[f"{name}_{task}"] = [round(float(value), 4) for value in accuracies[:, number].mean(1)]
        forgotten = accuracies[epochs - 1, 0] - accuracies[2 * epochs - 1, 0]
        row[f"{name}_forgot"] = {"mean": float(forgotten.mean()), "std": float(forgotten.std())}
    return row


def _pairs(seed: int, seeds: int) -> Iterator[Pair]:
    """Yield generated tasks, and two sets of digits with outputs in common and with outputs of their own."""
    generator = torch.Generator().manual_seed(seed)
    drawn: tuple[list[_Split], list[_Split]] = ([], [])
    settings = TasksConfig().model_copy(update={"features": (_FEATURES,) * 2, "classes": (_CLASSES,) * 2})
    for _ in range(seeds):
        for tasks in drawn:
            task = draw_task(settings, generator)
            tasks.append((task.support, task.query))
    yield Pair("generated tasks", drawn, _CLASSES)
    digits = [_digits(seed + number) for number in range(seeds)]
    yield Pair("digits, the same outputs", ([a for a, _ in digits], [b for _, b in digits]), _CLASSES)
    moved = [tuple(Examples(part.inputs, part.labels + _CLASSES) for part in b) for _, b in digits]
    yield Pair("digits, outputs of their own", ([a for a, _ in digits], [(s, q) for s, q in moved]), 2 * _CLASSES)


def _digits(seed: int) -> tuple[_Split, _Split]:
    """Return the digits 0 to 2 and 3 to 5, each with classes 0 to 2, standardised by the examples of the former.

    The inputs are the pixels that vary most in those examples.
    """
    bunch = load_digits()
    parts = []
    for classes in _DIGITS:
        chosen = np.isin(bunch.target, classes)
        labels = bunch.target[chosen] - classes[0]
        parts.append(
            train_test_split(bunch.data[chosen].astype(np.float32), labels, test_size=0.2, stratify=labels,
                             random_state=seed)
        )  # fmt: skip
    pixels = np.argsort(-parts[0][0].std(0))[:_FEATURES]
    shift, scale = standardisation(torch.from_numpy(parts[0][0][:, pixels]))
    first, second = (
        tuple(
            Examples((torch.from_numpy(x[:, pixels]) - shift) / scale, torch.from_numpy(y))
            for x, y in ((inputs, labels), (queries, answers))
        )
        for inputs, queries, labels, answers in parts
    )
    return (first[0], first[1]), (second[0], second[1])


def _start(module: MetaNca, pair: Pair, layers: int, seed: int) -> tuple[Wiring, Tensor, torch.Generator]:
    """Return one network per seed of the pair at its start, the same for both learners."""
    generator = torch.Generator().manual_seed(seed)
    units = module.architecture(layers, module.config.meta.hidden[-1], _FEATURES, pair.outputs)
    return *module.begin([units] * len(pair.tasks[0]), generator), generator


def _phases(pair: Pair) -> Iterator[list[Examples]]:
    for tasks in (pair.tasks[0], pair.tasks[1], pair.tasks[0]):
        yield [support for support, _ in tasks]


def _by_rule(module: MetaNca, pair: Pair, layers: int, seed: int) -> Tensor:
    """Return accuracies ``[3 * epochs, 2, seeds]``: the rule sees the examples of the current task alone."""
    wiring, state, generator = _start(module, pair, layers, seed)
    found = []
    for examples in _phases(pair):
        support = make_support_set(examples, wiring, module.config.bias)
        for _ in range(module.config.epochs):
            state = module.evolve(state, wiring, 1, support, generator)
            found.append(_accuracies(module, pair, wiring, state[..., 0]))
    return torch.stack(found)


def _by_sgd(module: MetaNca, pair: Pair, layers: int, seed: int) -> tuple[Tensor, float]:
    """Return accuracies ``[3 * epochs, 2, seeds]`` of the same networks, trained by SGD, and its rate."""
    best: tuple[float, float, Tensor] | None = None
    for rate in RATES:
        accuracies, fit = _sgd(module, pair, layers, seed, rate)
        if best is None or fit > best[0]:
            best = fit, rate, accuracies
    assert best is not None
    return best[2], best[1]


def _sgd(module: MetaNca, pair: Pair, layers: int, seed: int, rate: float) -> tuple[Tensor, float]:
    """Return accuracies at one rate, and the accuracy on the examples of A after the first phase."""
    wiring, state, generator = _start(module, pair, layers, seed)
    weights = state[..., 0].clone().requires_grad_()
    found, fits = [], []
    for examples in _phases(pair):
        inputs = stack_inputs([one.inputs for one in examples], wiring, module.config.bias)
        labels = torch.stack([one.labels for one in examples])
        for _ in range(module.config.epochs):
            for batch in torch.split(torch.randperm(labels.shape[1], generator=generator), _BATCH):
                with torch.enable_grad():
                    logits = read_logits(run_networks(weights, inputs[:, batch])[1], wiring)
                    # The networks are independent, so the sum of their losses gives each its own gradient.
                    loss = F.cross_entropy(logits.flatten(0, 1), labels[:, batch].flatten()) * len(weights)
                    (slope,) = torch.autograd.grad(loss, weights)
                with torch.no_grad():
                    weights -= rate * slope
            found.append(_accuracies(module, pair, wiring, weights.detach()))
            fits.append(_share(weights.detach(), wiring, inputs, labels))
    return torch.stack(found), float(fits[module.config.epochs - 1].mean())


def _accuracies(module: MetaNca, pair: Pair, wiring: Wiring, weights: Tensor) -> Tensor:
    """Return test accuracies ``[2, seeds]`` on both tasks."""
    shares = []
    for tasks in pair.tasks:
        queries = stack_inputs([query.inputs for _, query in tasks], wiring, module.config.bias)
        shares.append(_share(weights, wiring, queries, torch.stack([query.labels for _, query in tasks])))
    return torch.stack(shares)


def _share(weights: Tensor, wiring: Wiring, inputs: Tensor, labels: Tensor) -> Tensor:
    logits = read_logits(run_networks(weights, inputs)[1], wiring)
    return (logits.argmax(-1) == labels).float().mean(1)
