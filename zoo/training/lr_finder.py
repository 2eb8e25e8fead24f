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


@dataclass(frozen=True)
class LrCurve:
    """Smoothed training losses by learning rate, and the rate at which the loss falls fastest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_lr(recipe: Recipe, low: float = 1e-6, high: float = 10.0, steps: int = 100, **options: Any) -> LrCurve:
    """Train for up to ``steps`` batches with rates from ``low`` to ``high``, evenly in the logarithm.

    The suggestion is the rate at which the smoothed loss falls fastest against the logarithm of the rate. The recipe's
    schedule and length play no part; parameter groups keep the ratio of their rates. ``options`` are ``data_dir`` and
    ``device`` of :func:`zoo.training.loop.train`. Nothing is written. Raises TrainingError if the rates are not a range
    or if the loss is not finite from the start.
    """
    if not 0 < low < high < math.inf or steps < _FEWEST:
        raise TrainingError(
            f"learning rates: found {low:g} to {high:g} in {steps} steps, allowed: above 0, {_FEWEST} or more steps"
        )
    with TemporaryDirectory() as folder:
        run = setup(recipe, Path(folder), progress=False, **options)
        try:
            run.learner.on_start(run.optimizer)
            rates, losses = _measure(run, np.geomspace(low, high, steps).tolist())
        finally:
            run.log.close()
    if len(losses) < _FEWEST:
        raise TrainingError(f"the loss is not finite after {len(losses)} steps; try a smaller lowest rate than {low:g}")
    slopes = np.gradient(losses, np.log(rates))
    return LrCurve(rates, losses, rates[int(np.argmin(slopes))])


def _measure(run: Run, rates: list[float]) -> tuple[list[float], list[float]]:
    """Return the rates that were reached and their smoothed losses."""
    settings = run.recipe.train
    ratios = [group["lr"] / run.lr for group in run.optimizer.param_groups]
    batches = training_batches(len(run.data.train), settings.batch_size, settings.seed, 0, len(rates), 0, 1)
    mean, losses = 0.0, []
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
            losses.append(mean / (1 - _DECAY**number))
            if losses[-1] > _DIVERGED * min(losses):
                break
    return rates[: len(losses)], losses
