"""Further training of a model in the zoo's own loop: on a few samples of another data set, and on other classes.

Every model gets the same number of steps of its recipe's own optimizer, at a constant learning rate that is chosen on
validation from factors of the recipe's peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from zoo.compare.robustness.settings import BATCH, HELD, RATES, SIZES, STEPS
from zoo.config.data import AugmentConfig
from zoo.data.sampling import Batch
from zoo.data.split import ArraySplit, Data, Split
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult
from zoo.training.setup import Check


def few_shot(model: str, recipe: Path, data: Data, seed: int) -> dict[str, float]:
    """Return test accuracy after training on a few samples of ``data``, from the model and from new weights.

    Keys are ``from 10``, ``new 10`` and so on.
    """
    found = {}
    for size in SIZES:
        chosen = replace(
            data,
            train=_take(data.train, size, seed),
            validation=_take(data.validation, HELD, 0),
            test=_take(data.test, HELD, 0),
        )
        for name, source in (("from", model), ("new", None)):
            results = [_train(recipe, chosen, source, seed, factor, STEPS) for factor in RATES]
            best = max(results, key=lambda result: result.validation.accuracy)
            found[f"{name} {size}"] = best.test.accuracy
    return found


def forgetting(model: str, recipe: Path, data: Data, seed: int) -> dict[str, float]:
    """Train a model, which knows all classes, on the second half of them (B) and then on the first half again (A).

    Return test accuracies: ``a_before``, ``b_after_b`` and ``a_after_b``, and ``a_again`` after the steps on A. The
    rate is the one that is best on B's validation samples after B.
    """
    classes = range(len(data.labels))
    first, second = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    a, b = (_of_classes(data, half) for half in (first, second))
    before: list[float] = []

    def measure_before(recipe: Recipe, data: Data, module: nn.Module) -> None:
        before.append(_accuracy(module.eval(), a.test))
        module.train()

    tried = []
    for factor in RATES:
        after_b = _train(recipe, b, model, seed, factor, STEPS, check=measure_before)
        tried.append((after_b.validation.accuracy, factor, after_b))
    _, factor, after_b = max(tried, key=lambda one: one[0])
    phases = _Phases([b.train, a.train], STEPS)
    again = _train(recipe, replace(a, train=phases), model, seed, factor, 2 * STEPS)
    return {
        "a_before": before[0],
        "b_after_b": after_b.test.accuracy,
        "a_after_b": _accuracy(after_b.module, a.test),
        "a_again": again.test.accuracy,
    }


def repair(model: str, recipe: Path, data: Data, fraction: float, seed: int) -> float:
    """Delete a random fraction of a model's weights, train it further, and return its test accuracy.

    The deleted weights are trained, too, unless the family holds the edges of its network (a sparse mlp does).
    """

    def damage(recipe: Recipe, data: Data, module: nn.Module) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.dim() > 1 or name == "weight":  # a snapshots network has its edges in one vector
                    weight.mul_(torch.rand(weight.shape, generator=generator) >= fraction)

    chosen = replace(data, validation=_take(data.validation, HELD, 0), test=_take(data.test, HELD, 0))
    results = [_train(recipe, chosen, model, seed, factor, STEPS, check=damage) for factor in RATES]
    return max(results, key=lambda result: result.validation.accuracy).test.accuracy


class _Phases(Split):
    """Draws batches from one split after another; every split serves ``steps`` batches."""

    def __init__(self, splits: Sequence[Split], steps: int) -> None:
        super().__init__(splits[0].spec, splits[0].labels, 0)
        self.splits = splits
        self.steps = steps
        self.served = 0

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        split = self.splits[min(self.served // self.steps, len(self.splits) - 1)]
        self.served += 1
        return split[replace(batch, indices=batch.indices % len(split))]

    def _compute_hashes(self) -> dict[str, str]:
        return self.splits[0].hashes()


def _train(
    recipe: Path, data: Data, source: str | None, seed: int, factor: float, steps: int, check: Check | None = None
) -> TrainResult:
    changed = _shortened(load_recipe(recipe), len(data.train), source, seed, factor, steps)
    with TemporaryDirectory() as folder:
        return train(changed, run_dir=Path(folder) / "run", data=data, device="cpu", progress=False, check=check)


def _shortened(recipe: Recipe, samples: int, source: str | None, seed: int, factor: float, steps: int) -> Recipe:
    """Return the recipe for a short training at a constant rate."""
    old = recipe.train
    tree: dict[str, Any] = old.model_dump()
    tree |= {"epochs": None, "steps": steps, "batch_size": min(BATCH, samples), "schedule": {"name": "constant"},
             "ema": None, "seed": seed, "checkpoint_every": steps, "start_from": source, "precision": "fp32",
             "taken_lr_factor": 1.0}  # fmt: skip
    tree["optimizer"]["lr"] = factor * old.optimizer.lr
    return recipe.model_copy(update={"train": type(old).model_validate(tree)})


def _take(split: Split, count: int, seed: int) -> ArraySplit:
    """Return up to ``count`` random samples of a split, without augmentation."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:count]
    raw, labels = split[Batch(order)]
    return ArraySplit(raw, labels, split.spec, AugmentConfig(), 0)


def _of_classes(data: Data, classes: Sequence[int]) -> Data:
    """Return the samples of some classes; the labels of all stay, so that the model fits."""

    def chosen(split: Split, most: int) -> ArraySplit:
        rows = torch.isin(split.labels, torch.tensor(list(classes))).nonzero().flatten()
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most]
        raw, labels = split[Batch(rows[order])]
        return ArraySplit(raw, labels, split.spec, AugmentConfig(), 0)

    return replace(
        data, train=chosen(data.train, 8000), validation=chosen(data.validation, HELD), test=chosen(data.test, HELD)
    )


def _accuracy(module: nn.Module, split: Split) -> float:
    inputs, labels = split.everything()
    with torch.no_grad():  # not inference mode: a network may cache what it computes
        return float((module(inputs).argmax(-1) == labels).float().mean())
