"""Optimizers, schedules and weight averages of torch, made from a recipe's ``train:`` section."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.config.train import (
    ConstantConfig,
    CosineConfig,
    OneCycleConfig,
    OptimizerConfig,
    RestartsConfig,
    ScheduleConfig,
)

FUSED = ("sgd", "adam", "adamw")
"""The optimizers that torch can run as one kernel, which skips its step where ``found_inf`` on the device is not 0."""

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
}


def make_optimizer(
    config: OptimizerConfig, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], fused: bool = False
) -> torch.optim.Optimizer:
    """Make torch's optimizer of that name; the recipe's keys are its arguments.

    ``parameters`` may be groups: dicts of ``params`` and arguments of their own. ``fused`` is for those in ``FUSED``.
    """
    options: dict[str, Any] = {"fused": True} if fused else {}
    return _OPTIMIZERS[config.name](parameters, **config.model_dump(exclude={"name"}), **options)


def make_schedule(config: ScheduleConfig, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    """Make a schedule over ``steps`` optimizer steps, to be stepped after each of them.

    The learning rate of each group of parameters is the peak of its own.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    if isinstance(config, RestartsConfig):
        return LambdaLR(optimizer, _restarts(config, steps))
    warmup = warmup_steps(config.warmup, steps)
    match config:
        case OneCycleConfig():
            return OneCycleLR(
                optimizer,
                max_lr=peaks,
                total_steps=steps + 1,  # torch also asks for the value after the last step
                pct_start=(max(1, warmup) + 1) / (steps + 1),  # torch divides by zero without a rising phase
                div_factor=1 / config.initial,
                final_div_factor=config.initial / config.final if config.final else math.inf,
                cycle_momentum=config.cycle_momentum,
            )
        case CosineConfig():
            after: LRScheduler = _Cosine(optimizer, max(1, steps - warmup), eta_min=peaks[0] * config.final)
        case ConstantConfig():
            after = ConstantLR(optimizer, factor=1)
    if not warmup:
        return after
    rising = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rising, after], milestones=[warmup])


class _Cosine(CosineAnnealingLR):
    """torch's schedule, whose ``eta_min`` is the floor of the first group; the other groups move in proportion."""

    def get_lr(self) -> list[float | torch.Tensor]:
        first = super().get_lr()[0]
        return [first, *(first * base / self.base_lrs[0] for base in self.base_lrs[1:])]


def _restarts(config: RestartsConfig, steps: int) -> Callable[[int], float]:
    """Return the factor of the peak learning rate for each step from 0."""
    ends = [max(1, round(end * steps)) for end in config.ends]

    def factor(step: int) -> float:
        number = min(bisect_right(ends, step), len(ends) - 1)
        first = ends[number - 1] if number else 0
        length = max(1, ends[number] - first)
        rising = warmup_steps(float(config.warmup), length)
        place = step - first
        if place < rising:
            return (place + 1) / (rising + 1)
        done = min(1.0, (place - rising) / max(1, length - rising))
        return config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2

    return factor


def warmup_steps(warmup: int | float, steps: int) -> int:
    """Convert a count of steps, or a fraction of all ``steps``, to a count of at most ``steps``."""
    return min(steps, round(warmup * steps) if isinstance(warmup, float) else warmup)


class _Average(AveragedModel):
    """torch's running average, which after its first update copies nothing to the device: the host would wait."""

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the model's weights; the first update copies them. Buffers are copied."""
        if self.n_averaged == 0:  # this count stays on the CPU
            super().update_parameters(model)
            return
        by_dtype: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for average, current in zip(self.module.parameters(), model.parameters(), strict=True):
            averages, weights = by_dtype.setdefault(average.dtype, ([], []))
            averages.append(average.detach())
            weights.append(current.detach())
        assert self.multi_avg_fn is not None
        for averages, weights in by_dtype.values():
            self.multi_avg_fn(averages, weights, self.n_averaged)
        for kept, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
        self.n_averaged += 1


def make_average(module: nn.Module, decay: float) -> AveragedModel:
    """Make a running average of the module's weights: ``average <- decay * average + (1 - decay) * weights``."""
    return _Average(module, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
