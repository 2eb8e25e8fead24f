"""The state of one training run, and its round trip through a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from zoo.data.fingerprint import Fingerprint
from zoo.data.split import Data
from zoo.families.learner import Learner
from zoo.recipe import Recipe
from zoo.training.finite import Guard
from zoo.training.metrics_log import RunLog
from zoo.training.start import Start


@dataclass
class Run:
    """Everything that a run holds while it trains."""

    recipe: Recipe
    data: Data
    accelerator: Accelerator
    module: nn.Module
    """Prepared by Accelerate: wrapped for precision and distribution."""
    tested: AveragedModel | nn.Module
    """The running average of the weights, or a plain copy that is filled for each evaluation."""
    learner: Learner
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    guard: Guard
    run_dir: Path
    log: RunLog
    total_steps: int
    steps_per_epoch: int
    fingerprint: Fingerprint
    """That of the data and its split, to tell on resume whether they are still the same."""
    start: Start | None = None
    """The trained model whose weights the run started from; None: random weights."""
    callbacks: tuple[Callback, ...] = ()
    step: int = 0
    saved_step: int = 0
    """Step of the last checkpoint."""
    seconds: float = 0.0
    """Training and validation time over all attempts."""
    cpu_seconds: float = 0.0
    """Processor time of this process over all attempts, training and validation."""
    history: list[dict[str, Any]] = field(default_factory=list)
    exported_step: int | None = None
    """Step of the weights that are tested and exported, if they are not the last."""

    @property
    def plain(self) -> nn.Module:
        """The module without Accelerate's wrapping."""
        module: nn.Module = self.accelerator.unwrap_model(self.module)
        return module

    @property
    def lr(self) -> float:
        """The current learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Take module, average and learner from the state that :func:`run_state` returned."""
        self.plain.load_state_dict(state["module"])
        if isinstance(self.tested, AveragedModel):
            self.tested.load_state_dict(state["average"])
        self.learner.load_state_dict(state["learner"])


class Callback:
    """Code of one's own at each validation; every hook may be left out.

    Of several processes that train together, each calls the hooks of its own callbacks, and all end the training if one
    of them does. An exception ends the training; the checkpoint of the last round stays.
    """

    def on_start(self, run: Run) -> None:
        """Run once before the first step; the state and ``run.history`` of a resumed run are loaded."""

    def on_validation(self, run: Run, record: dict[str, Any]) -> bool | None:
        """Run after each validation, before the checkpoint; return True to end the training here.

        ``record`` is the round's: step, epoch, lr, losses and accuracies. Numbers that are added to it are logged.
        """
        return False

    def on_round_end(self, run: Run, record: dict[str, Any]) -> None:
        """Run after the round's checkpoint."""


def tested_module(run: Run) -> nn.Module:
    """Return the module to evaluate: the running average of the weights, or a copy of the current ones."""
    if isinstance(run.tested, AveragedModel):
        averaged: nn.Module = run.tested.module
        return averaged
    run.tested.load_state_dict(run.plain.state_dict())
    return run.tested


def run_state(run: Run) -> dict[str, Any]:
    """Return what a checkpoint holds: tensors and plain values."""
    scaler = run.accelerator.scaler
    return {
        "name": run.recipe.name,
        "recipe": run.recipe.to_dict(),
        "data": run.fingerprint,
        "step": run.step,
        "total_steps": run.total_steps,
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "history": run.history,
        "module": run.plain.state_dict(),
        "average": run.tested.state_dict() if isinstance(run.tested, AveragedModel) else None,
        "optimizer": run.optimizer.state_dict(),
        "schedule": run.schedule.state_dict(),
        "scaler": scaler.state_dict() if scaler is not None else None,
        "learner": run.learner.state_dict(),
        "start_from": run.start.to_dict() if run.start is not None else None,
    }


def restore_run(run: Run, state: dict[str, Any]) -> None:
    """Continue ``run`` from the state that :func:`run_state` returned."""
    run.load_weights(state)
    run.optimizer.load_state_dict(_as_made_here(state["optimizer"], run.optimizer))
    run.schedule.load_state_dict(state["schedule"])
    if run.accelerator.scaler is not None:
        run.accelerator.scaler.load_state_dict(state["scaler"])
    run.saved_step = state["step"]
    run.step, run.seconds, run.history = state["step"], state["seconds"], state["history"]
    run.cpu_seconds = state.get("cpu_seconds", math.nan)  # unknown to a checkpoint of an earlier version
    run.total_steps = state["total_steps"]  # fewer than the recipe's if the learner finished early
    if run.history:
        run.guard.last_loss = run.history[-1]["train_loss"]


def _as_made_here(saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimizer's saved state for this run's device, which decides whether it is fused."""
    groups = [
        {**group, "fused": own["fused"]} if "fused" in own else group
        for group, own in zip(saved["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {**saved, "param_groups": groups}
