"""The older form of a snapshots file: the first snapshot, and each later one as (index, value) differences from it.

Nearly all values change between two snapshots, and a difference needs an index, so this form takes more room than the
snapshots themselves. Files are now written with ``snapshots.values``; files in the older form are still read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.weights import TensorSpec

VALUES = "snapshots.values"
"""The tensor that replaces those of the older form."""
_FACTS = "snapshots.facts"


def with_deltas(tensors: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """Return the tensors of the older form of a file, given those of the newer one."""
    _, (capacity, entries) = tensors[VALUES]
    deltas: dict[str, TensorSpec] = {
        "snapshots.base": ("float32", (entries,)),
        "snapshots.index": ("int32", (capacity - 1, entries)),
        "snapshots.value": ("float32", (capacity - 1, entries)),
        "snapshots.sizes": ("int32", (capacity - 1,)),
    }
    return {name: spec for name, spec in tensors.items() if name != VALUES} | deltas


def without_deltas(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file in its newer form, bit for bit; those of the newer form are returned as they are.

    Raises ValueError for differences that do not fit the first snapshot.
    """
    if "snapshots.base" not in tensors:
        return dict(tensors)
    base, count = tensors["snapshots.base"], int((tensors[_FACTS][:, 0] > 0).sum())
    values = np.zeros((len(tensors[_FACTS]), len(base)), np.float32)
    values[:count] = base
    for number, size in enumerate(tensors["snapshots.sizes"].tolist()):
        if not 0 <= size <= len(base):
            raise ValueError(f"snapshots.sizes: delta {number} has {size} values, allowed 0 to {len(base)}")
        index = tensors["snapshots.index"][number, :size]
        if ((index < 0) | (index >= len(base))).any():
            raise ValueError(f"snapshots.index: delta {number} refers to values outside 0 to {len(base) - 1}")
        if number + 1 < count:
            values[number + 1, index] = tensors["snapshots.value"][number, :size]
    older = {f"snapshots.{name}" for name in ("base", "index", "value", "sizes")}
    return {name: tensor for name, tensor in tensors.items() if name not in older} | {VALUES: values}
