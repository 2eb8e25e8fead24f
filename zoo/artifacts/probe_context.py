"""The context of a family's probe and pictures, from a stored model."""

from __future__ import annotations

from pathlib import Path

from zoo.artifacts.edit import Stored
from zoo.artifacts.history import read_history
from zoo.data.split import Data
from zoo.families.probing import ProbeContext


def make_context(stored: Stored, data: Data, figures: Path) -> ProbeContext:
    """Return the context for a stored model with its data, which draws into the folder ``figures``."""
    return ProbeContext(
        module=stored.module,
        config=stored.recipe.model,
        task=data.task,
        data=data,
        seed=stored.recipe.train.seed,
        history=read_history(stored.artifact),
        figures=figures,
        train=stored.recipe.train,
    )
