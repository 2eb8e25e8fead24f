from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.paths import ROOT
from zoo.data.task import Task
from zoo.families.registry import get_family, load_hook
from zoo.recipe import load_recipe, recipe_names

TASKS = {
    "digits": Task((1, 8, 8), 10),
    "mnist": Task((1, 28, 28), 10),
    "fashion_mnist": Task((1, 28, 28), 10),
    "dataset": Task((3, 32, 32), 10),  # CIFAR-10
    "iris": Task((4,), 3),
    "image_folder": Task((3, 256, 256), 1000),
}


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_builds_its_module(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    # On the meta device, because the largest take gigabytes; but a growing network computes its first edges when built.
    with torch.device("cpu" if recipe.model.family == "snapshots" else "meta"):
        module = load_hook(get_family(recipe.model.family).build)(recipe.model, TASKS[recipe.data.name])
    assert sum(parameter.numel() for parameter in module.parameters()) > 0


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_begins_with_a_comment(name: str) -> None:
    path = ROOT / "recipes" / f"{name}.yaml"
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("name", recipe_names())
def test_the_resolved_recipe_loads_to_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / f"{name}.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).sha256() == recipe.sha256()


def test_an_override_may_replace_a_whole_section() -> None:
    recipe = load_recipe("gridnet-digits", ["train.optimizer={name: sgd, lr: 1, momentum: 0.9}"])
    assert recipe.train.optimizer.model_dump() == {
        "name": "sgd", "lr": 1.0, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False,
    }  # fmt: skip


@given(
    lr=st.floats(1e-8, 1e3),
    epochs=st.integers(1, 10**6),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    flip=st.booleans(),
)
def test_the_recipe_holds_the_values_of_its_overrides(
    lr: float, epochs: int, betas: tuple[float, float], flip: bool
) -> None:
    values = {
        "train.optimizer.lr": lr,
        "train.epochs": epochs,
        "train.optimizer.betas": list(betas),
        "data.augment.flip": flip,
    }
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in values.items()]
    recipe = load_recipe("gridnet-digits", overrides)
    assert recipe.train.optimizer.lr == lr
    assert recipe.train.epochs == epochs
    assert recipe.train.optimizer.betas == betas  # type: ignore[union-attr]
    assert recipe.data.augment.flip == flip


def test_a_loaded_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("gridnet-digits").train.batch_size = 3  # type: ignore[misc]


def test_loading_a_recipe_imports_no_torch() -> None:
    code = (
        "import sys; from zoo.recipe import load_recipe; load_recipe('gridnet-digits'); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "False", result.stderr
