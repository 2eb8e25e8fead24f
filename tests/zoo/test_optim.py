"""Optimizers, schedules and weight averages made from a recipe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from zoo.config.train import (
    AdadeltaConfig,
    AdamConfig,
    AdamWConfig,
    ConstantConfig,
    CosineConfig,
    OneCycleConfig,
    RestartsConfig,
    SgdConfig,
)
from zoo.optim import make_average, make_optimizer, make_schedule, warmup_steps

PEAK = 0.5


def rates(config: Any, steps: int, **optimizer: Any) -> list[float]:
    """Return the learning rate of every optimizer step."""
    sgd = SgdConfig(name="sgd", lr=PEAK, **optimizer)
    torch_optimizer = make_optimizer(sgd, [nn.Parameter(torch.ones(1))])
    schedule = make_schedule(config, torch_optimizer, steps)
    assert isinstance(schedule, LRScheduler)
    seen = []
    for _ in range(steps):
        seen.append(torch_optimizer.param_groups[0]["lr"])
        torch_optimizer.step()
        schedule.step()
    return seen


@pytest.mark.parametrize(
    "config",
    [
        ConstantConfig(name="constant", warmup=3),
        CosineConfig(name="cosine", warmup=2, final=0.2),
        CosineConfig(name="cosine"),
        OneCycleConfig(name="one_cycle"),
        RestartsConfig(name="restarts", ends=(0.5, 1)),
    ],
)
def test_every_group_of_parameters_follows_the_schedule_from_its_own_peak(config: Any) -> None:
    one, two = (nn.Parameter(torch.ones(1)) for _ in range(2))
    groups = [{"params": [one], "lr": PEAK}, {"params": [two], "lr": PEAK / 10}]
    optimizer = make_optimizer(SgdConfig(name="sgd", lr=PEAK), groups)
    schedule = make_schedule(config, optimizer, 12)
    seen = []
    for _ in range(12):
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(first / 10)
        seen.append(first)
        optimizer.step()
        schedule.step()
    assert seen == rates(config, 12)


@pytest.mark.parametrize(
    ("config", "kind", "expected"),
    [
        (
            SgdConfig(name="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
            torch.optim.SGD,
            {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2},
        ),
        (
            AdamConfig(name="adam", lr=0.1, betas=(0.5, 0.6), eps=1e-3),
            torch.optim.Adam,
            {"betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0},
        ),
        (AdamWConfig(name="adamw", lr=0.1), torch.optim.AdamW, {"weight_decay": 0.01, "betas": (0.9, 0.999)}),
        (AdadeltaConfig(name="adadelta", rho=0.8), torch.optim.Adadelta, {"lr": 1.0, "rho": 0.8}),
    ],
)
def test_the_recipes_keys_are_the_optimizers_arguments(config: Any, kind: type, expected: dict[str, Any]) -> None:
    optimizer = make_optimizer(config, [nn.Parameter(torch.ones(1))])
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected


def test_a_constant_schedule_stays_at_the_peak() -> None:
    assert rates(ConstantConfig(name="constant"), 5) == [PEAK] * 5


@pytest.mark.parametrize("warmup", [4, 0.4])
def test_a_warm_up_rises_linearly_from_near_zero_to_the_peak(warmup: float) -> None:
    seen = rates(ConstantConfig(name="constant", warmup=warmup), 10)
    expected = [PEAK * (i + 1) / 5 for i in range(4)] + [PEAK] * 6
    assert seen == pytest.approx(expected)


def test_a_cosine_schedule_falls_from_the_peak_to_its_final_fraction() -> None:
    seen = rates(CosineConfig(name="cosine", final=0.1), 101)
    assert seen[0] == PEAK
    assert seen == sorted(seen, reverse=True)
    assert seen[50] == pytest.approx(PEAK * 0.55, rel=0.03)
    assert seen[-1] == pytest.approx(PEAK * 0.1, rel=0.01)


def test_a_cosine_schedule_may_warm_up_first() -> None:
    seen = rates(CosineConfig(name="cosine", warmup=10), 100)
    assert seen[:10] == pytest.approx([PEAK * (i + 1) / 11 for i in range(10)])
    assert seen[10] == pytest.approx(PEAK)
    assert seen[10:] == sorted(seen[10:], reverse=True)
    assert seen[-1] < PEAK * 0.01


def test_one_cycle_rises_to_the_peak_and_falls_again() -> None:
    seen = rates(OneCycleConfig(name="one_cycle", warmup=0.25, initial=0.1, final=0.01), 100)
    assert seen[0] == pytest.approx(PEAK * 0.1)
    assert seen[25] == pytest.approx(PEAK)
    assert seen[:26] == sorted(seen[:26])
    assert seen[25:] == sorted(seen[25:], reverse=True)
    assert seen[-1] == pytest.approx(PEAK * 0.01, rel=0.1)


def test_restarts_rise_and_fall_once_per_cycle() -> None:
    seen = rates(RestartsConfig(name="restarts", ends=(0.2, 0.5, 1), warmup=0.1, final=0.01), 100)
    for first, last in ((0, 20), (20, 50), (50, 100)):
        rising = (last - first) // 10
        cycle = seen[first:last]
        assert cycle[: rising + 1] == sorted(cycle[: rising + 1])
        assert cycle[rising] == pytest.approx(PEAK)
        assert cycle[rising:] == sorted(cycle[rising:], reverse=True)
        assert PEAK * 0.01 < cycle[-1] < PEAK * 0.05


@pytest.mark.parametrize("ends", [(), (0.5,), (0.5, 0.5, 1), (0.7, 0.3, 1), (0, 1), (0.5, 1.5)])
def test_restarts_with_other_ends_than_ascending_ones_up_to_1_are_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        RestartsConfig(name="restarts", ends=ends)


@pytest.mark.parametrize("warmup", [0, 0.3, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_restarts_fit_every_length_of_run(warmup: float, steps: int) -> None:
    seen = rates(RestartsConfig(name="restarts", ends=(0.1, 0.2, 0.5, 1), warmup=warmup), steps)
    assert all(0 < rate <= PEAK * (1 + 1e-12) for rate in seen)


@pytest.mark.parametrize("warmup", [0, 1, 7, 100, 0.999])
@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_length_of_warm_up_fits_every_length_of_run(name: str, warmup: float, steps: int) -> None:
    config = {"constant": ConstantConfig, "cosine": CosineConfig, "one_cycle": OneCycleConfig}[name]
    seen = rates(config(name=name, warmup=warmup), steps)
    assert all(0 < rate <= PEAK * (1 + 1e-12) for rate in seen)


def test_one_cycle_may_end_at_zero() -> None:
    assert rates(OneCycleConfig(name="one_cycle", final=0), 50)[-1] < PEAK * 0.01


@pytest.mark.parametrize("cycled", [True, False])
def test_one_cycle_changes_momentum_only_if_asked(cycled: bool) -> None:
    config = SgdConfig(name="sgd", lr=PEAK, momentum=0.7)
    optimizer = make_optimizer(config, [nn.Parameter(torch.ones(1))])
    make_schedule(OneCycleConfig(name="one_cycle", cycle_momentum=cycled), optimizer, 10)
    assert optimizer.param_groups[0]["momentum"] == (0.95 if cycled else 0.7)


def test_warm_up_steps_are_limited_to_the_run_and_a_fraction_is_of_its_length() -> None:
    assert warmup_steps(30, 20) == 20
    assert warmup_steps(5, 20) == 5
    assert warmup_steps(0.25, 20) == 5


def test_the_average_follows_the_weights_with_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = make_average(module, decay=0.9)
    expected = None
    for value in (1.0, 2.0, 5.0):
        nn.init.constant_(module.weight, value)
        average.update_parameters(module)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
        assert average.module.weight.item() == pytest.approx(expected)
