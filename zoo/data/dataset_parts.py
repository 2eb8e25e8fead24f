"""Classes and splits of a data set that ``datasets`` reads.

- Classes: names of a class label in their own order; other labels sorted, numbers by value.
- Split: the data set's own splits. Validation and test samples that it has no split for are held out of the training
  split by the config's ``seed``, the same share of every class, the test samples first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import datasets
import torch
from torch import Tensor

from sdk.cells import is_missing
from sdk.validation import describe
from zoo.config.data import DatasetConfig
from zoo.data.dataset_source import Opened
from zoo.data.sampling import hold_out
from zoo.utils.errors import DataError

_TEST = 0.1
"""Fraction of the samples to hold out as the test set if neither the data set nor the config says."""


@dataclass(frozen=True)
class Part:
    """The samples of one split: rows of a part of the data set, and their classes."""

    rows: datasets.Dataset
    indices: Tensor
    """``[N]``, int64, the row of each sample."""
    labels: Tensor
    """``[N]``, int64, the class of each sample."""
    name: str
    """The data set's name of the split that the rows are in."""


def without_unlabelled_test(opened: Opened, target: str, config: DatasetConfig) -> tuple[Opened, str]:
    """Return the data set without a test split that has no class in any row, and a line about it.

    Such splits hold the samples of a competition. One that the config names stays, and is refused.
    """
    rows = opened.parts.get("test")
    if rows is None or (config.splits is not None and config.splits.test is not None):
        return opened, ""
    # A column of -1 has no classes either, unless -1 is one of the training rows.
    numbered = -1 in opened.parts["train"][target][:]
    if target in rows.features and not all(
        is_missing(value) or (value == -1 and not numbered) for value in rows[target][:]
    ):
        return opened, ""
    parts = {role: part for role, part in opened.parts.items() if role != "test"}
    return replace(opened, parts=parts), f"split {opened.names['test']} has no classes and is left out"


def name_classes(opened: Opened, target: str) -> tuple[list[str], dict[str, Tensor]]:
    """Return the names of the classes and, for each part, the class of every row, int64 ``[rows]``."""
    feature = opened.parts["train"].features[target]
    values: dict[str, list[Any]] = {}
    for role, rows in opened.parts.items():
        if target not in rows.features:
            raise DataError(f"{opened.origin}: split {opened.names[role]} has no column {target}")
        values[role] = [value.strip() if isinstance(value, str) else value for value in rows[target]]
        numbered = isinstance(rows.features[target], datasets.ClassLabel)
        _check_labels(values[role], numbered, f"{opened.origin}: split {opened.names[role]}", target)
    known = set(values["train"])
    for role in values:
        extra = set(values[role]) - known
        if extra:
            shown = ", ".join(map(str, sorted(extra, key=str)[:5]))
            raise DataError(
                f"{opened.origin}: split {opened.names[role]} has classes that {opened.names['train']} lacks: {shown}"
            )
    ordered = sorted(known, key=_sort_key)
    names = [feature.int2str(value) if isinstance(feature, datasets.ClassLabel) else _name(value) for value in ordered]
    if len(names) < 2:
        raise DataError(f"{opened.origin}: found one class in {target}, {names[0]}, expected at least two")
    numbers = {value: number for number, value in enumerate(ordered)}
    return names, {role: torch.tensor([numbers[value] for value in found]) for role, found in values.items()}


def _check_labels(values: list[Any], numbered: bool, place: str, target: str) -> None:
    """Raise DataError for values that are no classes; a negative ``numbered`` class, of a class label, is none."""
    if not values:
        raise DataError(f"{place} has no rows")
    missing = [row for row, value in enumerate(values) if is_missing(value) or (numbered and value < 0)]
    if missing:
        raise DataError(f"{place}: column {target} has no class in {len(missing)} rows, such as {_some(missing)}")
    wrong = next((value for value in values if not _is_label(value)), None)
    if wrong is not None:
        raise DataError(
            f"{place}: column {target} holds {describe(wrong)}, allowed as classes: text, whole numbers, true and false"
        )


def _is_label(value: Any) -> bool:
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and value.is_integer())


def _some(rows: list[int]) -> str:
    return ", ".join(str(row) for row in rows[:5]) + (" ..." if len(rows) > 5 else "")


def _sort_key(value: Any) -> tuple[float, str]:
    """Sort numbers, also written as text, by value, and then other text.

    No two values have the same key: the order of a set, which sorting keeps for equal keys, differs between processes.
    """
    try:
        number = float(value)
    except ValueError:
        number = math.inf
    return number if math.isfinite(number) else math.inf, str(value)


def _name(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def split_samples(
    opened: Opened, labels: dict[str, Tensor], names: list[str], config: DatasetConfig
) -> dict[str, Part]:
    """Return the samples of the three splits by role."""
    if "test" in labels and config.test is not None:
        raise DataError(f"data.test {config.test}: the data set has the test split {opened.names['test']}, which is "
                        f"the test set; leave the key out ({opened.origin})")  # fmt: skip
    chosen = {role: torch.arange(len(found)) for role, found in labels.items()}
    source = dict.fromkeys(labels, "") | {role: role for role in labels}
    rest = chosen["train"]
    for role, part in (("test", _TEST if config.test is None else config.test), ("validation", config.validation)):
        if role not in labels:
            left, held = _hold_out(labels["train"][rest], names, part, config.seed, f"data.{role}")
            chosen[role], rest, source[role] = rest[held], rest[left], "train"
    chosen["train"] = rest
    return {
        role: Part(opened.parts[source[role]], indices, labels[source[role]][indices], opened.names[source[role]])
        for role, indices in chosen.items()
    }


def _hold_out(labels: Tensor, names: list[str], part: float, seed: int, key: str) -> tuple[Tensor, Tensor]:
    """Hold out a count, or a fraction that gives at least one sample per class; return the rest and the held-out."""
    sizes = labels.bincount(minlength=len(names))
    if int(sizes.min()) < 2:
        rare = names[int(sizes.argmin())]
        several = 2 * len(names) > len(labels)  # numbers to be predicted, or names of the rows, rather than classes
        advice = f", and {len(names):,} classes in {len(labels):,} samples; is data.target the column of classes?"
        raise DataError(f"{key} {part}: found only {int(sizes.min())} training sample of class {rare}, expected at "
                        f"least 2 per class to hold out 1{advice if several else ''}")  # fmt: skip
    count = part if isinstance(part, int) else max(math.ceil(part * len(labels)), len(sizes))
    return hold_out(labels, count, seed, key)
