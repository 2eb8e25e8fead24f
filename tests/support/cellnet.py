"""Small CellNets for tests: their configs, and random inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.data.task import Task
from zoo.families.cellnet.config import CellnetConfig, StemConfig
from zoo.families.cellnet.model import Cellnet

TASK = Task((5,), 3)
IMAGES = Task((2, 10, 11), 3)
STEM = StemConfig(channels=(3, 4), dropout=0)
STEMS = {
    "as_described": STEM,
    "two_convolutions": StemConfig(channels=(3,), convolutions=2, dropout=0),
    "pooled_once": StemConfig(channels=(3, 4), pool="last", dropout=0),
    "padded": StemConfig(channels=(3, 4, 5), convolutions=(2, 1, 3), padding=1, dropout=0),
    "normalised": StemConfig(channels=(3, 4), batch_norm=True, dropout=0),
    "normalised_and_padded": StemConfig(channels=(3, 4), convolutions=(1, 2), padding=1, batch_norm=True, dropout=0),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as_described": {},
    "two_steps_at_once": {"truncate": 2},
    "all_steps_at_once": {"truncate": 4},
    "uneven_windows": {"truncate": 3},
    "own_core_sizes": {"core": (4, 1, 6, 3), "truncate": 2},
    "own_core_sizes_literal": {"core": (2, 5, 1, 7)},
    "two_of_each": {"in_cells": 2, "out_cells": 2, "truncate": 2},
    "ring": {"topology": {"name": "ring"}, "in_cells": 2, "input_steps": 3},
    "clusters": {"cells": 6, "topology": {"name": "clusters", "size": 3}, "input_steps": 4, "truncate": 4},
    "explicit": {"topology": {"name": "explicit", "edges": ((0, 3), (1, 2), (2, 3))}, "input_steps": 3},
    "growing_weight": {"loss_growth": 0.5, "core_lr": 3.0, "loss_a": 0.7},
    "original_losses": {"core": (4, 1, 6, 3), "loss_a_form": "sum", "loss_growth_of": "a", "loss_growth": 0.5},
    "without_loss_a": {"loss_a": 0.0},
    "without_loss_a_at_once": {"loss_a": 0.0, "truncate": 4},
    "input_throughout": {"input_steps": 4, "truncate": 4},
}


def build(task: Task = TASK, **options: Any) -> Cellnet:
    """Build a CellNet with four cells and cores of four numbers unless ``options`` say otherwise."""
    torch.manual_seed(0)
    return Cellnet(CellnetConfig(**{"cells": 4, "core": 4, "hidden": 5, **options}), task)


def samples(task: Task = TASK, count: int = 3) -> tuple[Tensor, Tensor]:
    """Draw inputs ``[count, *input_shape]`` in float64, and labels that take turns."""
    noise = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, *task.input_shape, generator=noise, dtype=torch.float64)
    return inputs, torch.arange(count) % task.num_classes
