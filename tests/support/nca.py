"""Small Meta-NCA models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zoo.artifacts.from_run import export_run
from zoo.data.split import Data
from zoo.data.task import Task
from zoo.families.nca.config import NcaConfig
from zoo.families.nca.model import MetaNca
from zoo.families.probing import ProbeContext
from zoo.recipe import load_recipe
from zoo.training.loop import train

TASK = Task((4,), 3)
SMALL = ["model.epochs=5", "train.steps=4", "train.checkpoint_every=2", "model.meta.population=2"]
"""Overrides of a recipe: a training of seconds."""
TEACHING = {"rule": {"senses": "teaching", "positions": "none"}, "standardize": True, "bias": True}
"""Model options of a rule with a teaching signal."""


def build(task: Task = TASK, **options: Any) -> MetaNca:
    """Return an untrained model of 4 epochs; ``options`` are keys of its config."""
    torch.manual_seed(0)
    return MetaNca(NcaConfig.model_validate({"epochs": 4, **options}), task)


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random inputs ``[count, 4]`` and labels of three classes."""
    torch.manual_seed(1)
    return torch.rand(count, 4), torch.arange(count) % 3


def trained_artifacts(root: Path) -> dict[str, Path]:
    """Train two recipes for a few steps and export them below ``root``, as `zoo train` does; folders by name."""
    found = {}
    for name in ("nca-iris", "nca-learner"):
        result = train(load_recipe(name, SMALL), run_dir=root / f"run-{name}", device="cpu", progress=False)
        found[name] = export_run(result, root / name)
    return found


def context_of(data: Data, figures: Path, **options: Any) -> ProbeContext:
    """Return the probe's context of an untrained model of 3 epochs; ``options`` are keys of its config."""
    torch.manual_seed(0)
    config = NcaConfig.model_validate({"epochs": 3, **options})
    module, train = MetaNca(config, data.task).eval(), load_recipe("nca-iris", ["train.steps=2"]).train
    return ProbeContext(module, config, data.task, data, 0, [], figures, train)
