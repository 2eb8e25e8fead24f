"""Predictions as columns: ``label``, ``probability``, ``label_2``, ``probability_2`` and so on, and ``error``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from sdk.errors import InputError

Answer: TypeAlias = "list[tuple[str, float]] | InputError"
"""The most likely labels of one input with their probabilities, the most likely first, or why there is none."""
ERROR = "error"


def columns_of(top_k: int) -> dict[str, type]:
    """Return the names of the columns for ``top_k`` labels, each with the type of its values."""
    columns: dict[str, type] = {}
    for rank in range(1, top_k + 1):
        suffix = "" if rank == 1 else f"_{rank}"
        columns |= {f"label{suffix}": str, f"probability{suffix}": float}
    return columns | {ERROR: str}


def row_of(answer: Answer, top_k: int) -> list[Any]:
    """Return the values of one row in the order of :func:`columns_of`; None where there is no value."""
    if isinstance(answer, InputError):
        return [None] * (2 * top_k) + [" ".join(str(answer).split())]
    return [value for pair in answer[:top_k] for value in pair] + [None]


def to_columns(answers: Sequence[Answer], top_k: int) -> dict[str, list[Any]]:
    """Return the columns of some rows."""
    rows = [row_of(answer, top_k) for answer in answers]
    return {name: [row[number] for row in rows] for number, name in enumerate(columns_of(top_k))}
