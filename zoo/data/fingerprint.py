"""Fingerprints of data sets: they tell the data of a run or an artifact from other data, and say how the two differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.data.split import Data, Split

FORMAT = 1
"""Version of the hashes. Fingerprints of different formats are compared by labels and counts alone."""
PARTS = ("train", "validation", "test")
Fingerprint = dict[str, Any]
"""Plain JSON values: ``format``, ``labels`` (class names), ``shape`` (of one input) and, for each part, ``count``,
``classes`` (samples per class) and the hashes of :meth:`zoo.data.split.Split.hashes`."""


def fingerprint(data: Data) -> Fingerprint:
    """Return the fingerprint of a data set and of its split, as plain JSON values.

    It depends on the class names, the samples, their order and their parts; not on the folder's place, the
    augmentation or the number of workers. Raises DataError for a file that cannot be read.
    """
    parts = {name: _part(getattr(data, name), len(data.labels)) for name in PARTS}
    return {"format": FORMAT, "labels": list(data.labels), "shape": list(data.input_spec.shape), **parts}


def describe_difference(old: Fingerprint, new: Fingerprint, parts: Sequence[str] = PARTS) -> list[str]:
    """Say in which points ``new`` differs from ``old``, one phrase each; an empty list means the same data.

    ``parts`` are the parts to compare. Points that one of the two does not record are not compared.
    """
    found: list[str] = []
    if old.get("labels") != new.get("labels"):
        found.append(_labels_differ(old.get("labels", []), new.get("labels", [])))
    if old.get("shape") != new.get("shape"):
        found.append(f"the shape of an input was {old.get('shape')} and is {new.get('shape')}")
    hashed = old.get("format") == new.get("format") == FORMAT
    for name in parts:
        if name in old and name in new:
            found += _part_differs(name, old, new, hashed)
    return found


def _part(split: Split, classes: int) -> dict[str, Any]:
    counts = split.labels.bincount(minlength=classes).tolist()
    return {"count": len(split), "classes": counts, **split.hashes()}


def _labels_differ(old: list[str], new: list[str]) -> str:
    gone = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    if not gone and not added:
        return f"the classes have another order: it was {_list(old)} and is {_list(new)}"
    changes = [f"{_list(gone)} gone"] * bool(gone) + [f"{_list(added)} new"] * bool(added)
    return f"the classes differ: {', '.join(changes)}"


def _part_differs(name: str, old: Fingerprint, new: Fingerprint, hashed: bool) -> list[str]:
    """Describe the first of these that differs, as it explains the others: counts, file names, content."""
    was, now = old[name], new[name]
    if was["count"] != now["count"]:
        return [f"{name} had {was['count']:,} samples and has {now['count']:,}"]
    if old.get("labels") == new.get("labels") and was["classes"] != now["classes"]:
        changed = [i for i, (a, b) in enumerate(zip(was["classes"], now["classes"], strict=True)) if a != b]
        listed = [f"{old['labels'][i]} had {was['classes'][i]:,} and has {now['classes'][i]:,}" for i in changed]
        return [f"{name} has other numbers of samples per class: {_list(listed)}"]
    if not hashed:
        return []
    if was.get("names") != now.get("names"):
        return [f"{name} consists of other files, or has them in another order"]
    if was.get("content") != now.get("content"):
        return [f"{name} has samples with other content, or in another order"]
    return []


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
