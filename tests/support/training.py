"""Small training runs on the digits data set, and a way to stop them at a given step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo.training.loop
from zoo.families.learner import Learner, StepResult
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult

SMALL = [
    "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}",
    "data.validation=40",
    "train.epochs=null",
    "train.steps=6",
    "train.batch_size=16",
    "train.checkpoint_every=2",
    "train.log_every=1",
]


def small(*overrides: str) -> Recipe:
    """Return a recipe that trains a small gridnet for six steps in three rounds."""
    return load_recipe("gridnet-digits", [*SMALL, *overrides])


def fit(run_dir: Path, *overrides: str, **options: Any) -> TrainResult:
    """Train the small recipe on the CPU."""
    return train(small(*overrides), run_dir=run_dir, **{"device": "cpu", "progress": False, **options})


def weights(module: nn.Module) -> Tensor:
    """Return all parameters as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def metrics(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    """Return the records of one kind in a run's metrics log."""
    records = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


@contextmanager
def interrupted_after_saving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupt trainings, as Ctrl-C does, as soon as they have saved a checkpoint."""
    save = zoo.training.loop.save_checkpoint

    def stop_after_saving(*given: Any) -> None:
        save(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zoo.training.loop, "save_checkpoint", stop_after_saving)
        yield


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[StepResult], StepResult]) -> None:
    """Let training run until a step, and replace the result of that step by ``action(result)``."""
    usual = Learner.training_step
    taken = 0

    def training_step(self: Learner, inputs: Tensor, labels: Tensor) -> StepResult:
        nonlocal taken
        taken += 1
        result = usual(self, inputs, labels)
        return action(result) if taken == step else result

    monkeypatch.setattr(Learner, "training_step", training_step)


def interrupt(result: StepResult) -> StepResult:
    """An action for :func:`stop_at`: Ctrl-C."""
    raise KeyboardInterrupt
