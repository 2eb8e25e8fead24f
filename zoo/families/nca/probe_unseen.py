"""A learning rule on data sets that its meta-training never saw, compared with common learners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from zoo.families.nca.model import MetaNca
from zoo.families.nca.networks import read_logits, run_networks
from zoo.families.nca.tasks import Examples, make_support_set, stack_inputs, standardisation

SPLITS = 30
DIGITS = "digits, 8 pixels"
_DIGIT_FEATURES = 8
"""Pixels of the digits that the learners see, chosen in each split from its training examples alone."""
_Split = tuple[Examples, Examples]
"""Support and query examples."""


def unseen_data() -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return inputs and labels by name."""
    found = {}
    loaders = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, DIGITS: load_digits}
    for name, load in loaders.items():
        bunch = load()
        found[name] = (bunch.data.astype(np.float32), bunch.target.astype(np.int64))
    return found


def measure_unseen(module: MetaNca, seed: int, splits: int = SPLITS) -> list[dict[str, Any]]:
    """Return one row per data set and depth: mean test accuracies over splits, each with permuted labels."""
    rows = []
    for name, (inputs, labels) in unseen_data().items():
        features = _DIGIT_FEATURES if name == DIGITS else None
        parts = [_split(inputs, labels, seed + number, features) for number in range(splits)]
        others = _others(parts, module.config.epochs)
        for layers in sorted(set(module.config.meta.layers)):
            accuracies = _evolve(module, parts, layers, seed)
            after, long = accuracies[module.config.epochs], accuracies[2 * module.config.epochs]
            rows.append(
                {
                    "data": name,
                    "layers": layers,
                    "rule": float(after.mean()),
                    "rule_std": float(after.std()),
                    "rule_long": float(long.mean()),
                    **others,
                }
            )
    return rows


def _split(inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int, features: int | None = None) -> _Split:
    """Return training and test examples, standardised by the former, with the classes in random order.

    ``features`` of them are kept, those that vary most in the training examples.
    """
    renamed = np.random.default_rng(seed).permutation(labels.max() + 1)[labels]
    x, queries, y, answers = train_test_split(inputs, renamed, test_size=0.2, stratify=renamed, random_state=seed)
    if features is not None:
        kept = np.argsort(-x.std(0))[:features]
        x, queries = x[:, kept], queries[:, kept]
    shift, scale = standardisation(torch.from_numpy(x))
    return (
        Examples((torch.from_numpy(x) - shift) / scale, torch.from_numpy(y)),
        Examples((torch.from_numpy(queries) - shift) / scale, torch.from_numpy(answers)),
    )


def _evolve(module: MetaNca, parts: list[_Split], layers: int, seed: int) -> dict[int, torch.Tensor]:
    """Return accuracies ``[splits]`` after the training's number of epochs and after twice as many."""
    features, classes = parts[0][0].inputs.shape[1], int(parts[0][0].labels.max()) + 1
    architecture = module.architecture(layers, module.config.meta.hidden[-1], features, classes)
    generator = torch.Generator().manual_seed(seed)
    wiring, state = module.begin([architecture] * len(parts), generator)
    support = make_support_set([examples for examples, _ in parts], wiring, module.config.bias)
    queries = stack_inputs([query.inputs for _, query in parts], wiring, module.config.bias)
    answers = torch.stack([query.labels for _, query in parts])
    found = {}
    for epoch in (module.config.epochs, 2 * module.config.epochs):
        state = module.evolve(state, wiring, module.config.epochs, support, generator)
        logits = read_logits(run_networks(state[..., 0], queries)[1], wiring)
        found[epoch] = (logits.argmax(-1) == answers).float().mean(1)
    return found


def _others(parts: list[_Split], passes: int) -> dict[str, float]:
    """Return mean accuracies of nearest neighbours, of logistic regression, and of SGD on its loss for ``passes``."""
    learners: dict[str, Callable[[], Any]] = {
        "knn": lambda: KNeighborsClassifier(5),
        "logistic": lambda: LogisticRegression(max_iter=2000),
        "sgd": lambda: SGDClassifier(loss="log_loss", max_iter=passes, tol=None, random_state=0),
    }
    return {name: float(np.mean([_fit_and_score(make(), *part) for part in parts])) for name, make in learners.items()}


def _fit_and_score(learner: Any, support: Examples, query: Examples) -> float:
    learner.fit(support.inputs.numpy(), support.labels.numpy())
    return float(learner.score(query.inputs.numpy(), query.labels.numpy()))
