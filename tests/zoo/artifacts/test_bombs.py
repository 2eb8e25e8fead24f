"""Loading an artifact costs a multiple of its files' size, whatever numbers its config.json holds."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk import ArtifactError
from sdk.backends import BACKENDS
from sdk.catalog import bundled_models
from zoo.recipe import load_recipe, recipe_names
from zoo.utils.errors import RecipeError

HUGE = 10**9
BOMBS: list[tuple[str, dict[str, Any]]] = [
    ("nca-iris", {"layers": 3 * 10**8}),
    ("nca-iris", {"layers": 1000, "hidden": 10**6}),
    ("nca-iris", {"hidden": HUGE, "layers": 2}),
    ("nca-iris", {"epochs": HUGE}),
    ("nca-iris", {"rule": {"hidden": [1] * 300_000}}),
    ("nca-iris", {"rule": {"memory": HUGE}}),
    ("nca-iris", {"meta": {"layers": [1] * 300_000}}),
    ("nca-iris", {"seed": 10**30}),
    ("normnet-digits", {"hidden": [1] * 300_000}),
    ("normnet-digits", {"hidden": [1] * 1000}),
    ("normnet-digits", {"hidden": [HUGE]}),
    ("normnet-digits", {"convolutions": [{"channels": 1}] * 300_000}),
    ("normnet-digits", {"convolutions": [{"channels": 1, "padding": HUGE, "pool": HUGE}]}),
    ("normnet-digits", {"convolutions": [{"channels": 1, "size": 1024, "padding": 1024, "pool": 1024}] * 3}),
    ("normnet-digits", {"convolutions": [{"channels": 1, "size": 2**40}]}),
    ("normnet-digits", {"convolutions": [{"channels": 2**31 - 1, "size": 1, "pool": 8}]}),
    ("gridnet-digits", {"inner_steps": 2**31}),
    ("gridnet-digits", {"inner_steps": HUGE}),
    ("gridnet-digits", {"outer_steps": HUGE}),
    ("gridnet-digits", {"outer_steps": 100_000, "inner_steps": 100_000}),
    ("gridnet-digits", {"outer_steps": 100_000, "separate_params": True}),
    ("gridnet-digits", {"recompute": 2**70}),
    ("gridnet-digits", {"patch": {"size": 1, "channels": HUGE}}),
    ("gridnet-digits", {"grid": [2**31 - 1] * 3, "block": 1}),
    ("cellnet-digits", {"steps": HUGE, "input_steps": HUGE}),
    ("cellnet-digits", {"hidden": HUGE}),
    ("cellnet-digits", {"core": HUGE}),
    ("cellnet-digits", {"core": 2**70}),
    ("cellnet-digits", {"cells": HUGE}),
    ("cellnet-digits", {"topology": {"name": "ring", "reach": HUGE}}),
    ("cellnet-digits", {"topology": {"name": "clusters", "size": 2, "bridges": HUGE}}),
    ("cellnet-digits", {"stem": {"channels": [1] * 300_000}}),
    ("cellnet-digits", {"stem": {"channels": [HUGE]}}),
    ("snapshots-digits", {"hidden": [8192] * 8}),
    ("snapshots-digits", {"hidden": [8192] * 8, "start": {"density": 1}, "max_density": 1}),
    ("snapshots-digits", {"phases": [{"name": "a", "until": HUGE, "structures": 1, "snapshots": 1}]}),
    ("snapshots-digits", {"phases": [{"name": "a", "until": 5, "structures": 1, "snapshots": HUGE}]}),
]


def copy_with(name: str, folder: Path, **sections: Any) -> Path:
    """Copy a bundled model, with parts of sections of its config.json replaced."""
    shutil.copytree(bundled_models()[name], folder)
    config = json.loads((folder / "config.json").read_text())
    for section, changes in sections.items():
        config[section] = {**config[section], **changes} if isinstance(changes, dict) else changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(("name", "changes"), BOMBS, ids=[f"{n}-{str(c)[:60]}" for n, c in BOMBS])
def test_a_config_that_asks_for_the_impossible_is_refused_at_once(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    nested = {
        key: {**json.loads((bundled_models()[name] / "config.json").read_text())["model"][key], **value}
        for key, value in changes.items()
        if isinstance(value, dict) and key in ("rule", "meta", "start")
    }
    folder = copy_with(name, tmp_path / "bomb", model={**changes, **nested})
    started = time.monotonic()
    for backend in ("torch", "native") if name.startswith(BACKENDS["native"].families) else ("torch",):
        with pytest.raises(ArtifactError, match=r"config\.json|model\.safetensors: ") as caught:
            sdk.load(folder, backend=backend)
        assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [1, 10**6, 10**6], "resize": None},
        {"shape": [10**9, 8, 8], "mean": [0.0] * 10**5, "std": [1.0] * 10**5},
        {"shape": [1, 9000, 8]},
        {"resize": 40_000},
        {"resize": 2**60},
        {"shape": [1, 2**63, 1]},
    ],
)
@pytest.mark.parametrize("backend", ["native", "onnx", "torch"])
def test_an_input_of_impossible_size_is_refused(tmp_path: Path, backend: str, changes: dict[str, Any]) -> None:
    folder = copy_with("gridnet-digits", tmp_path / "bomb", input=changes)
    with pytest.raises(ArtifactError, match=r"config\.json: input (shape|resize) .* too large"):
        sdk.load(folder, backend=backend)


def test_recipes_have_the_same_limits(tmp_path: Path) -> None:
    for name, changes in BOMBS[:4]:
        overrides = [f"model.{key}={json.dumps(value)}" for key, value in changes.items()]
        if max(value for value in changes.values()) > 10**7 and "hidden" not in changes:
            with pytest.raises(RecipeError, match=r"model\.\w+: found "):
                load_recipe(name, overrides)
    for name in recipe_names():
        load_recipe(name)


@pytest.mark.parametrize("override", ["train.seed=1e3", f"train.seed={2**31}", f"train.batch_size={2**70}"])
def test_counts_in_recipes_fit_32_bits(override: str) -> None:
    with pytest.raises(RecipeError, match=override.partition("=")[0]):
        load_recipe("gridnet-digits", [override])


def test_weights_that_do_not_fit_together_raise_our_error(tmp_path: Path) -> None:
    folder = copy_with("cellnet-digits", tmp_path / "model", model={})
    model = sdk.load(folder, backend="torch")
    model.module.readout = None
    with pytest.raises(ArtifactError, match=r"model\.safetensors: its module fails for 2 inputs: "):
        model.logits(np.zeros((2, *model.input_spec.shape), np.float32))
