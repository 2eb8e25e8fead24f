"""Small untrained models, written as artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdk import InputSpec
from zoo.artifacts.writer import write_artifact
from zoo.data.task import Task
from zoo.families.base import FamilyConfig
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.registry import get_family, load_hook
from zoo.utils.provenance import gather_provenance

SPEC = InputSpec("image", (1, 4, 4), (0.5,), (0.25,))
LABELS = ["zero", "one", "two"]
TINY = GridnetConfig(grid=(4, 4, 4), block=2, outer_steps=4)


def artifact_arguments(config: FamilyConfig = TINY, recipe: str = "seed: 0\n", **changes: Any) -> dict[str, Any]:
    """Return the arguments of ``write_artifact`` for an untrained network of ``config``; ``changes`` replace some."""
    spec, labels = changes.get("input_spec", SPEC), changes.get("labels", LABELS)
    torch.manual_seed(0)
    return {
        "name": "tiny",
        "module": load_hook(get_family(config.family).build)(config, Task(spec.shape, len(labels))),
        "model_config": config,
        "input_spec": spec,
        "labels": labels,
        "metrics": {},
        "provenance": gather_provenance(recipe, seed=0, steps=0, wall_seconds=0.0, data={"name": "none"}),
        "recipe_yaml": recipe,
        "licence": "MIT",
        **changes,
    }


def write_tiny(folder: Path, *given: Any, **changes: Any) -> Path:
    """Write a small network under the name of its folder; the other arguments are those of ``artifact_arguments``."""
    return write_artifact(folder, **artifact_arguments(*given, **{"name": folder.name, **changes}))


def images(count: int) -> np.ndarray:
    """Return random uint8 images ``[count, 4, 4]`` for the small network."""
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4), dtype=np.uint8)


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file below a folder by path, including hidden files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
