"""The registry: every family resolves, and naming one loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from zoo.config.train import TrainConfig
from zoo.families import registry
from zoo.families.base import Family, FamilyConfig
from zoo.families.registry import families_with, family_names, get_family, load_hook
from zoo.utils.errors import FamilyError, FamilyWarning

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
    "pictures",
    "other_data",
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
    others = {
        "name",
        "config",
        "about",
        "baseline",
        "distributed",
        "capturable",
        "grows",
        "tasks",
        "train",
        "train_reason",
    }
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


BROKEN = {
    "raises": ("raise RuntimeError('no such library')", "cannot be imported: RuntimeError: no such library"),
    "exits": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "syntax": ("def", "cannot be imported: SyntaxError"),
    "absent": ("", "cannot be imported: AttributeError"),
    "text": ("FAMILY = 'text'", "should be a zoo.families.base.Family"),
    "other": ("from zoo.families.gridnet import FAMILY", "should be equal"),
    "config": (
        "from zoo.families.base import Family; FAMILY = Family('config', dict, '', '')",
        "should be a subclass of FamilyConfig",
    ),
}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages with broken families, and two that offer names that are taken."""
    families = {name: code for name, (code, _) in BROKEN.items()} | {"gridnet": "", "twice": "", "module": ""}
    for package, names in (("one", [*families]), ("two", ["twice"])):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = plugin_{name}:FAMILY\n" for name in names]
        (info / "entry_points.txt").write_text("".join(["[cellzoo.families]\n", *lines]))
    for name, code in families.items():
        (tmp_path / f"plugin_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
    registry._load.cache_clear()


@pytest.mark.usefixtures("plugins")
@pytest.mark.filterwarnings("ignore::zoo.utils.errors.FamilyWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named_with_its_reason_and_breaks_no_other_family(name: str) -> None:
    with pytest.raises(FamilyError, match=BROKEN[name][1]) as caught:
        get_family(name)
    assert f"family {name} of one 1.0" in str(caught.value)
    assert families_with("probe") == [known for known in NAMES if (known, "probe") in DEFINED]
    assert set(NAMES) < set(family_names())


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("plugin_absent:build", "the hook plugin_absent:build cannot be imported: AttributeError"),
        ("plugin_nowhere.model:build", "cannot be imported: ModuleNotFoundError: No module named 'plugin_nowhere'"),
        ("plugin_raises:build", "cannot be imported: RuntimeError: no such library"),
        ("plugin_absent", "found 'plugin_absent'"),
        (print, "should be text such as"),
        (None, "should be text such as"),
    ],
)
@pytest.mark.usefixtures("plugins")
def test_a_hook_that_cannot_be_imported_is_named(hook: Any, words: str) -> None:
    with pytest.raises(FamilyError, match=re.escape(words)):
        load_hook(hook)


@pytest.mark.usefixtures("plugins")
def test_a_name_that_is_taken_is_ignored_with_a_warning() -> None:
    with pytest.warns(FamilyWarning) as caught:
        family_names()
    assert sorted(str(warning.message) for warning in caught) == [
        "family gridnet of one 1.0 is ignored, because cellzoo has a family of this name",
        "family module of one 1.0 is ignored, because cellzoo has a family of this name",
        "family twice of two 1.0 is ignored, because one 1.0 has a family of this name",
    ]
    assert get_family("gridnet").build == "zoo.families.gridnet.model:Gridnet"


def test_an_artifact_of_a_package_that_is_missing_names_it() -> None:
    with pytest.raises(FamilyError, match=r"family 'ring' comes from the package 'cellzoo-ring 2\.0', which is not"):
        get_family("ring", "cellzoo-ring 2.0")
    with pytest.raises(FamilyError, match="unknown family 'ring'"):
        get_family("ring", ["hostile"])
