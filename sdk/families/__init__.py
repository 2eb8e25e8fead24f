"""Families whose models offer more than :class:`sdk.model.Model`. Each module has a subclass of it named MODEL."""

from __future__ import annotations

import importlib

from sdk.echo import EchoModel
from sdk.model import Model
from sdk.tasks import TaskKind

_MODULES = {
    "cellnet": "sdk.families.cellnet",
    "gridnet": "sdk.families.gridnet",
    "nca": "sdk.families.nca",
    "normnet": "sdk.families.normnet",
    "snapshots": "sdk.families.snapshots",
}


def model_class(family: str, task: TaskKind) -> type[Model]:
    """Return the class of models: of classifiers the family's subclass of Model, or Model itself; else EchoModel."""
    if task == "echo":
        return EchoModel
    if family not in _MODULES:
        return Model
    model: type[Model] = importlib.import_module(_MODULES[family]).MODEL
    return model
