"""The digits data set: 1797 handwritten digits from scikit-learn, which includes them.

Source: UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998), its test set, through
``sklearn.datasets.load_digits``. Nothing is downloaded.

- Input: one grey image, float32 ``[1, 8, 8]``; the pixels 0 to 16 are scaled to [0, 1].
- Classes: ten, named "0" to "9".
- Split: 360 test samples, the same share of every class and the same for every seed; validation samples are held out of
  the other 1437 as the config says.
- Normalisation: minus 0.3053, over 0.3761, the mean and standard deviation of all pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from sdk.inputs import InputSpec
from zoo.config.data import DigitsConfig
from zoo.data.in_memory import split_in_memory
from zoo.data.sampling import hold_out
from zoo.data.split import Data

_TEST = 360
_LABELS = [str(digit) for digit in range(10)]
_SPEC = InputSpec(kind="image", shape=(1, 8, 8), mean=(0.3053,), std=(0.3761,))


def load(config: DigitsConfig, folder: Path) -> Data:
    """Load the digits; ``folder`` is not used. Raises DataError for an impossible validation size."""
    bunch = load_digits()
    images = torch.from_numpy((bunch.images / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _TEST, seed=0)
    return split_in_memory((images[rest], labels[rest]), (images[test], labels[test]), _SPEC, config, _LABELS)
