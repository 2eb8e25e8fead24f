"""Where a result comes from: versions, and what made a model."""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

import sdk


def versions() -> dict[str, str]:
    """Of what a result can depend on."""
    return {
        "cellzoo": sdk.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def gather_provenance(
    recipe_yaml: str, seed: int, steps: int, wall_seconds: float, data: dict[str, Any]
) -> dict[str, Any]:
    """What made a model, for config.json: recipe hash, data, seed, steps, seconds, versions, processor."""
    return {
        "recipe_sha256": hashlib.sha256(recipe_yaml.encode()).hexdigest(),
        "data": data,
        "seed": seed,
        "steps": steps,
        "wall_seconds": round(wall_seconds, 1),
        "date": now(),
        "versions": versions(),
        "platform": {
            "machine": platform.machine(),
            "system": platform.system(),
            "processors": os.cpu_count(),
        },
    }
