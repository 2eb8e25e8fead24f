"""Provenance of results: versions, and the recipe, data and machine behind a model."""

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
    """Return the versions of the packages that a result can depend on."""
    return {
        "cellzoo": sdk.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def now() -> str:
    """Return the time in UTC, to the second, in ISO format."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def gather_provenance(
    recipe_yaml: str, seed: int, steps: int, wall_seconds: float, data: dict[str, Any]
) -> dict[str, Any]:
    """Return a model's provenance for config.json: recipe hash, data, seed, steps, seconds, versions, platform."""
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
