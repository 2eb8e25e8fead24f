from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.layout import Layout
from zoo.families.snapshots.model import SnapshotNet

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
