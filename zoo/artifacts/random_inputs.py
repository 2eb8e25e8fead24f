"""Random raw inputs, on which contenders of a check or of a benchmark are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.inputs import InputSpec


def random_inputs(spec: InputSpec, count: int, seed: int = 0) -> NDArray[Any]:
    """Return raw inputs ``[count, *shape]``: uint8 images, or float64 features with the spec's mean and deviation."""
    noise = np.random.default_rng(seed)
    if spec.kind == "image":
        return noise.integers(0, 256, (count, *spec.shape), dtype=np.uint8)
    values: NDArray[Any] = np.array(spec.mean) + np.array(spec.std) * noise.standard_normal((count, *spec.shape))
    return values
