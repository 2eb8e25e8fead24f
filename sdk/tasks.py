"""The kinds of task that a model can be trained for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from sdk.errors import InputError

TaskKind: TypeAlias = Literal["classification", "echo"]
"""The meaning of a model's outputs: a logit per class, or a copy of the input, value by value."""
TASKS: tuple[TaskKind, ...] = get_args(TaskKind)
LOSS_NAMES: Mapping[TaskKind, str] = {"classification": "mean cross-entropy", "echo": "mean squared error"}
ECHO_BOUND = 0.05
"""A copy counts as right if its mean squared error, in units of the training data's variance, is below this."""


def check_classifier(what: str, name: str, kind: TaskKind) -> None:
    """Raise InputError, which starts with ``what``, unless the model ``name`` is a classifier."""
    if kind != "classification":
        raise InputError(f"{what}: found {name}, whose task is {kind}, allowed classifiers")


def count_outputs(kind: TaskKind, shape: Sequence[int], labels: Sequence[str]) -> int:
    """Return the number of outputs for one input of a shape: one per label, or for an echo one per value."""
    return math.prod(shape) if kind == "echo" else len(labels)
