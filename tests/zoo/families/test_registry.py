"""The registry: every family resolves, and naming one loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from tests.support.paths import ROOT
from zoo.config.train import TrainConfig
from zoo.families.base import Family, FamilyConfig
from zoo.families.registry import families_with, family_names, get_family, load_hook
from zoo.utils.errors import FamilyError

NAMES = ("cellnet", "cnn", "gridnet", "mlp", "nca", "normnet", "snapshots")
HOOKS = (
    "build",
    "learner",
    "onnx_graph",
    "extra_onnx",
    "portrait",
    "probe",
    "members",
    "bench",
    "take",
    "freeze",
    "ends",
)
DEFINED = [(name, hook) for name in NAMES for hook in HOOKS if getattr(get_family(name), hook) is not None]
HEAVY = ("torch", "torchvision", "sklearn", "onnx", "matplotlib")


def test_all_families_are_listed() -> None:
    assert family_names() == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_carries_its_name_and_config(name: str) -> None:
    family = get_family(name)
    assert family.name == name
    assert issubclass(family.config, FamilyConfig)
    assert family.config.model_fields["family"].default == name
    assert family.about.strip()


def test_every_field_that_holds_a_hook_is_tested() -> None:
    others = {"name", "config", "about", "baseline", "distributed", "train", "train_reason"}
    assert {field.name for field in fields(Family)} - others == set(HOOKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_s_own_defaults_of_training_are_keys_with_a_reason(name: str) -> None:
    family = get_family(name)
    assert family.train.keys() <= TrainConfig.model_fields.keys()
    assert bool(family.train) == bool(family.train_reason)


@pytest.mark.parametrize(("name", "hook"), DEFINED)
def test_every_hook_resolves_to_something_that_can_be_called(name: str, hook: str) -> None:
    assert callable(load_hook(getattr(get_family(name), hook)))


@pytest.mark.parametrize("hook", HOOKS)
def test_families_with_a_hook_are_those_that_define_it(hook: str) -> None:
    assert families_with(hook) == [name for name in NAMES if (name, hook) in DEFINED]


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_family_loads_nothing_heavy(name: str) -> None:
    script = f"import sys, zoo.families.{name}; print([m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        FamilyError, match=r"unknown family 'gridnett' \(did you mean gridnet\?\); known families: .*gridnet"
    ):
        get_family("gridnett")


def test_ordinary_networks_alone_are_baselines() -> None:
    assert [name for name in NAMES if get_family(name).baseline] == ["cnn", "mlp"]
