from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.recipes import problem
from zoo.config.train import AdamWConfig, TrainConfig

SGD = {"name": "sgd", "lr": 0.1}


def test_cycled_momentum_needs_an_optimizer_with_momentum() -> None:
    line = problem("train.optimizer={name: adadelta}", "train.schedule={name: one_cycle, cycle_momentum: true}")
    assert line.startswith("train.schedule.cycle_momentum: ")


@pytest.mark.parametrize(
    ("optimizer", "allowed"),
    [
        ({"name": "sgd", "lr": 0.1}, False),
        ({"name": "sgd", "lr": 0.1, "momentum": 0.9}, True),
        ({"name": "adam", "lr": 0.1}, True),
        ({"name": "adamw", "lr": 0.1}, True),
        ({"name": "adadelta"}, False),
    ],
)
def test_momentum_can_be_cycled_if_the_optimizer_has_it(optimizer: dict[str, Any], allowed: bool) -> None:
    schedule = {"name": "one_cycle", "cycle_momentum": True}
    section = {"epochs": 1, "batch_size": 8, "optimizer": optimizer, "schedule": schedule}
    if allowed:
        TrainConfig.model_validate(section)
        return
    with pytest.raises(ValidationError, match=f"needs an optimizer with momentum, and {optimizer['name']} has none"):
        TrainConfig.model_validate(section)


def test_exactly_one_of_epochs_and_steps_is_set() -> None:
    for lengths, message in (
        ({"epochs": None, "steps": None}, "epochs or steps is missing; write epochs: 10"),
        ({"epochs": None}, "epochs or steps is missing; write epochs: 10"),
        ({"epochs": 1, "steps": 2}, "exclude each other"),
    ):
        with pytest.raises(ValidationError, match=message):
            TrainConfig.model_validate({"batch_size": 8, "optimizer": SGD, **lengths})
    assert TrainConfig.model_validate({"batch_size": 8, "optimizer": SGD, "steps": 2}).epochs is None


def test_every_key_of_training_has_a_default() -> None:
    config = TrainConfig()
    assert (config.epochs, config.steps, config.batch_size) == (10, None, 32)
    assert config.optimizer == AdamWConfig(name="adamw", lr=1e-3)
    assert TrainConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize("name", ["adam", "adamw", "adadelta"])
def test_an_adaptive_optimizer_needs_only_its_name(name: str) -> None:
    assert TrainConfig.model_validate({"optimizer": {"name": name}}).optimizer.lr > 0


def test_keys_of_a_start_are_stored_only_when_they_are_set() -> None:
    keys = {"start_from", "taken_lr_factor", "freeze"}
    assert not keys & TrainConfig().model_dump(mode="json").keys()
    section = {"start_from": "a", "taken_lr_factor": 0.5, "freeze": ["stem.*"]}
    stored = TrainConfig.model_validate({**section, "freeze": ("stem.*",)}).model_dump(mode="json")
    assert {key: stored[key] for key in keys} == section


def test_a_rate_for_taken_parameters_needs_a_source() -> None:
    assert problem("train.taken_lr_factor=0.5") == (
        "train.taken_lr_factor: taken_lr_factor 0.5 needs start_from, found none"
    )
    assert "greater than 0" in problem("train.start_from=a", "train.taken_lr_factor=0")
