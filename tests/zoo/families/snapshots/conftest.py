from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.snapshots import SHORT
from zoo.artifacts.from_run import export_run
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.model import SnapshotNet
from zoo.recipe import load_recipe
from zoo.training.loop import train
from zoo.training.result import TrainResult

TASK = Task((1, 2, 3), 4)


@pytest.fixture
def layout() -> Layout:
    """6 inputs, hidden layers of 5 and 4, 3 classes: units 0-5, 6-10, 11-14, 15-17."""
    return Layout((6, 5, 4, 3))


@pytest.fixture
def build() -> Callable[..., SnapshotNet]:
    """A small network: 6 inputs, hidden layers of 5 and 4, 4 classes."""

    def make(**options: Any) -> SnapshotNet:
        torch.manual_seed(0)
        return SnapshotNet(SnapshotsConfig(**{"hidden": (5, 4), "max_density": 1.0, **options}), TASK)

    return make


@pytest.fixture(scope="package")
def result(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A short training of snapshots-digits."""
    recipe = load_recipe("snapshots-digits", SHORT)
    return train(recipe, run_dir=tmp_path_factory.mktemp("run"), device="cpu", progress=False)


@pytest.fixture(scope="package")
def exported(result: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of that training."""
    return export_run(result, tmp_path_factory.mktemp("exports") / "snapshots-digits")
