"""The learning-rate finder: a short training whose learning rate grows until the loss explodes (Smith 2017)."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zoo.data.sampling import training_batches
from zoo.recipe import Recipe
from zoo.training.finite import NotFiniteError
from zoo.training.loop import update_weights
from zoo.training.run import Run
from zoo.training.setup import setup
from zoo.utils.errors import TrainingError
from zoo.utils.signals import check_stopped

_DECAY = 0.9
"""Of the running mean of the loss."""
_DIVERGED = 4
"""The search ends when the smoothed loss is this many times its minimum."""
_FEWEST = 5
_SETTLED = 10
"""Batches after which the running mean of the loss is about as steady as it gets."""


@dataclass(frozen=True)
class LrCurve:
    """Smoothed training losses by learning rate, and the rate at which the loss falls fastest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(recipe: Recipe, low: float = 1e-6, high: float = 10.0, steps: int = 100, **options: Any) -> LrCurve:
    """Train for up to ``steps`` batches with rates from ``low`` to ``high``, evenly in the logarithm.

    The suggestion is the rate at which the smoothed loss falls fastest against the logarithm of the rate, once the mean
    has settled and before its minimum. The recipe's schedule and length play no part; parameter groups keep the ratio
    of their rates. ``options`` are ``data_dir`` and ``device`` of :func:`zoo.training.loop.train`. Nothing is written.
    Raises TrainingError if the rates are not a range, if the loss is not finite from the start, and if it does not fall
    by more than it differs between batches.
    """
    if not 0 < low < high < math.inf or steps < _FEWEST:
        raise TrainingError(
            f"learning rates: found {low:g} to {high:g} in {steps} steps, allowed a lowest rate above 0 and a higher "
            f"one, in {_FEWEST} or more steps"
        )
    with TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), progress=False, **options)
        try:
            run.learner.on_start(run.optimizer)
            rates, losses, smooth = _measure(run, np.geomspace(low, high, steps).tolist())
        finally:
            run.log.close()
    if len(losses) < _FEWEST:
        raise TrainingError(f"the loss is not finite after {len(losses)} steps; try a smaller lowest rate than {low:g}")
    steepest = _steepest(losses, smooth, max(_FEWEST, steps // 10))
    if steepest is None:
        raise TrainingError(
            f"learning rates from {low:g} to {rates[-1]:.3g}: the loss falls nowhere by more than it differs between "
            "batches; try other rates or more steps"
        )
    return LrCurve(rates, smooth, rates[steepest])


def _steepest(losses: list[float], smooth: list[float], width: int) -> int | None:
    """Return the batch at which a line through ``width`` smoothed losses falls fastest; None if the loss falls nowhere.

    A fall counts if it is twice the spread of single losses, which is estimated from the differences of neighbours,
    where a trend hardly shows.
    """
    first = min(_SETTLED, len(smooth) // 3)
    lowest = first + int(np.argmin(smooth[first:]))
    spread = float(np.median(np.abs(np.diff(losses))))
    if max(smooth[first : lowest + 1]) - smooth[lowest] <= 2 * spread:
        return None
    starts = range(first, max(lowest - width + 1, first) + 1)
    slopes = [np.polyfit(range(len(part)), part, 1)[0] for part in (smooth[one : one + width] for one in starts)]
    return min(starts[int(np.argmin(slopes))] + width // 2, lowest)


def _measure(run: Run, rates: list[float]) -> tuple[list[float], list[float], list[float]]:
    """Return the rates that were reached, their losses, and these smoothed."""
    settings = run.recipe.train
    ratios = [group["lr"] / run.lr for group in run.optimizer.param_groups]
    batches = training_batches(len(run.data.train), settings.batch_size, settings.seed, 0, len(rates), 0, 1)
    mean, losses, smooth = 0.0, [], []
    with closing(run.data.train.stream(batches, run.accelerator.device)) as stream:
        for number, (rate, (inputs, labels)) in enumerate(zip(rates, stream, strict=False), start=1):
            check_stopped()
            for group, ratio in zip(run.optimizer.param_groups, ratios, strict=True):
                group["lr"] = rate * ratio
            try:
                for result in run.learner.training_steps(inputs, labels):
                    update_weights(run, result)
                run.guard.settle()
            except NotFiniteError:
                break
            run.step += 1
            run.learner.on_step_end(run.step)
            loss = float(result.loss.detach())
            mean = _DECAY * mean + (1 - _DECAY) * loss
            losses.append(loss)
            smooth.append(mean / (1 - _DECAY**number))
            if smooth[-1] > _DIVERGED * min(smooth):
                break
    return rates[: len(losses)], losses, smooth
