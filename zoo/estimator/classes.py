"""The classes of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from sdk.validation import describe


def classes_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the sorted classes of labels ``[N]``, and the class number of each.

    Raises ValueError for continuous labels and for fewer than two classes.
    """
    check_classification_targets(labels)
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y: found 1 class ({describe(classes[0])}), expected at least 2 classes")
    return classes, numbers.astype(np.int64)
