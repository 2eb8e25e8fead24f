"""From a recipe's ``train:`` section to torch's optimizers, schedules and weight averages."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.config.train import ConstantConfig, CosineConfig, OneCycleConfig, OptimizerConfig, ScheduleConfig

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
}


def make_optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """torch's optimizer of that name; the recipe's keys are its arguments."""
    return _OPTIMIZERS[config.name](parameters, **config.model_dump(exclude={"name"}))


def make_schedule(config: ScheduleConfig, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """A schedule over ``steps`` optimizer steps, to be stepped after each."""
    peak = optimizer.param_groups[0]["lr"]
    warmup = warmup_steps(config.warmup, steps)
    match config:
        case OneCycleConfig():
            return OneCycleLR(
                optimizer,
                max_lr=peak,
                total_steps=steps + 1,  # the value after the last step is asked for as well
                pct_start=(max(1, warmup) + 1) / (steps + 1),  # torch divides by zero where there is no way up
                div_factor=1 / config.initial,
                final_div_factor=config.initial / config.final if config.final else math.inf,
                cycle_momentum=config.cycle_momentum,
            )
        case CosineConfig():
            after: LRScheduler = CosineAnnealingLR(optimizer, max(1, steps - warmup), eta_min=peak * config.final)
        case ConstantConfig():
            after = ConstantLR(optimizer, factor=1)
    if not warmup:
        return after
    rising = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rising, after], milestones=[warmup])


def warmup_steps(warmup: int | float, steps: int) -> int:
    """Whole steps of a count or a fraction, at most all of them."""
    return min(steps, round(warmup * steps) if isinstance(warmup, float) else warmup)


def make_average(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of the module that follows it: ``average <- decay * average + (1 - decay) * weights``."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
