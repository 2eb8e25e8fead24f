"""Small trained models of every family, and runs that start from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.artifacts.from_run import export_run
from zoo.recipe import Recipe, load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult

_STEPS = ["train.epochs=null", "train.steps=4", "train.checkpoint_every=2", "train.batch_size=16"]
_IMAGES = [*_STEPS, "data.validation=40", "train.schedule={name: constant}", "export.formats=[safetensors]"]
FAMILIES: dict[str, list[str]] = {
    "gridnet-digits": [*_IMAGES, "model={family: gridnet, grid: [8, 8, 2], block: 2, outer_steps: 2}"],
    "cellnet-digits": [*_IMAGES, "model.core=4", "model.hidden=5", "model.cells=3"],
    "normnet-digits": [*_IMAGES, "model.hidden=[8, 6]"],
    "snapshots-digits": [
        *_IMAGES,
        "train.steps=null",
        "train.epochs=6",
        "train.checkpoint_every=null",
        "train.batch_size=128",
        "train.optimizer={name: adamw, lr: 5e-3, weight_decay: 0.1}",
        "model.hidden=[8, 6]",
        "model.start={density: 0.2}",
        "model.max_density=0.5",
        "model.economy={reward: 100, price: 100}",
        "model.phases=[{name: coarse, until: 3, structures: 4, snapshots: 1}, "
        "{name: fine, until: 6, structures: 8, snapshots: 2}]",
        "model.stabilisation=1",
        "model.trigger={every: 1, window: 2}",
    ],
    "nca-iris": [*_STEPS, "train.schedule={name: constant}", "export.formats=[safetensors]", "model.epochs=3"],
}
"""Overrides of a recipe of each family that make a run of a second."""


def recipe_of(name: str, *overrides: str) -> Recipe:
    """Return the small recipe of a family."""
    return load_recipe(name, [*FAMILIES[name], *overrides])


def fit(name: str, run_dir: Path, *overrides: str, **options: Any) -> TrainResult:
    """Train the small recipe of a family on the CPU."""
    settings = {"device": "cpu", "progress": False, **options}
    return train(recipe_of(name, *overrides), run_dir=run_dir, **settings)


def make_source(name: str, folder: Path) -> Path:
    """Train the small recipe of a family and return the folder of its artifact."""
    return export_run(fit(name, folder / "run"), folder / "model")
