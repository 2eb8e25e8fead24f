"""Small gridnets for tests."""

from __future__ import annotations

from typing import Any

import torch

from zoo.data.task import Task
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet

TASK = Task((1, 4, 4), 3)


def build(task: Task = TASK, **options: Any) -> Gridnet:
    """Build a gridnet of 6x6x4 cells with blocks of 2 and four outer steps unless ``options`` say otherwise."""
    torch.manual_seed(0)
    return Gridnet(GridnetConfig(**{"grid": (6, 6, 4), "block": 2, "outer_steps": 4, **options}), task)
