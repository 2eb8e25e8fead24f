"""Fisher's Iris, from scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_iris

from sdk.inputs import InputSpec
from zoo.config.data import IrisConfig
from zoo.data.in_memory import in_memory
from zoo.data.sampling import hold_out
from zoo.data.split import Data

_TEST = 30


def load(config: IrisConfig, folder: Path) -> Data:
    """Lengths over their root mean square in what is not test data.

    They are not centred: a network without biases could not tell a class that lies at the origin.
    """
    bunch = load_iris()
    inputs = torch.from_numpy(bunch.data.astype(np.float32))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _TEST, seed=config.split)
    scale = inputs[rest].square().mean(0).sqrt()
    spec = InputSpec(kind="table", shape=(4,), mean=(0.0,) * 4, std=tuple(scale.tolist()))
    names = [str(name) for name in bunch.target_names]
    return in_memory((inputs[rest], labels[rest]), (inputs[test], labels[test]), spec, config, names)
