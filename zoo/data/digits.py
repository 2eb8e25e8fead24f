"""scikit-learn's handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from sdk.inputs import InputSpec
from zoo.config.data import DigitsConfig
from zoo.data.in_memory import in_memory
from zoo.data.sampling import hold_out
from zoo.data.split import Data

_TEST = 360
LABELS = [str(digit) for digit in range(10)]


def load(config: DigitsConfig, folder: Path) -> Data:
    """8x8 pixels of 0 to 16, as floats in [0, 1]. The 360 test samples are the same whatever the seed."""
    bunch = load_digits()
    images = torch.from_numpy((bunch.images / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _TEST, seed=0)
    spec = InputSpec(kind="image", shape=(1, 8, 8), mean=(0.3053,), std=(0.3761,))
    return in_memory((images[rest], labels[rest]), (images[test], labels[test]), spec, config, LABELS)
