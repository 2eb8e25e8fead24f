"""Small normnets for tests, and the configs of every variant."""

from __future__ import annotations

from typing import Any

import torch

from zoo.data.task import Task
from zoo.families.normnet.claims import Budget
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.model import Normnet

TASK = Task((1, 8, 8), 3)
CONVOLUTIONS = [{"channels": 3, "padding": 1, "pool": 2, "scale": 3}, {"channels": 4, "size": 2, "stride": 2}]
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "literal": {"clamp": None, "hidden_scale": 1, "loss": "power"},
    "linear": {"layer": "linear"},
    "plain": {"layer": "plain", "hidden_scale": 1},
    "sigmoid": {"activation": "sigmoid"},
    "relu": {"activation": "relu", "hidden_scale": 1},
    "residual": {"residual": True, "hidden": [6, 6, 6], "hidden_scale": 50},
    "convolutions": {"convolutions": CONVOLUTIONS},
    "rows": {"convolutions": CONVOLUTIONS, "view": "rows"},
    "volume": {"convolutions": [{"channels": 3, "size": 3, "padding": 1, "pool": 1}], "view": "volume"},
    "plain_convolutions": {"convolutions": CONVOLUTIONS, "layer": "plain"},
    "no_hidden": {"hidden": []},
    "power": {"loss": "power", "power": 5},
}
BUDGET = Budget(
    seeds=(0, 1), samples=1000, held=200, batch=32, steps=40, task_steps=20, check_every=10,
    trial_steps=10, trial_seeds=1, rates=(3e-3, 3e-2), factors=(1.0,),
)  # fmt: skip
CONFIG = NormnetConfig(hidden=(32,), hidden_scale=3)


def build(task: Task = TASK, **options: Any) -> Normnet:
    """Build a normnet with hidden layers of 6 and 5 units unless ``options`` say otherwise."""
    torch.manual_seed(0)
    return Normnet(NormnetConfig(**{"hidden": (6, 5), **options}), task)
