"""The iris data set: 150 flowers of three species from scikit-learn, which includes them.

Source: R. A. Fisher, "The use of multiple measurements in taxonomic problems" (1936), through
``sklearn.datasets.load_iris``. Nothing is downloaded.

- Input: four lengths in cm, float32 ``[4]``: sepal length, sepal width, petal length, petal width, in columns with
  scikit-learn's names, such as "sepal length (cm)".
- Classes: three, named "setosa", "versicolor" and "virginica".
- Split: 30 test flowers, ten per species, chosen by ``split``; validation samples are held out of the other 120 as the
  config says.
- Normalisation: each length over its root mean square among those 120. The lengths are not centred: a network without
  biases could not separate a class at the origin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_iris

from sdk.column_types import Number
from sdk.columns import Columns
from sdk.inputs import InputSpec
from zoo.config.data import IrisConfig
from zoo.data.in_memory import split_in_memory
from zoo.data.sampling import hold_out
from zoo.data.split import Data

_TEST = 30


def load(config: IrisConfig, folder: Path) -> Data:
    """Load the flowers; ``folder`` is not used. Raises DataError for an impossible validation size."""
    bunch = load_iris()
    inputs = torch.from_numpy(bunch.data.astype(np.float32))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _TEST, seed=config.split)
    scale = inputs[rest].square().mean(0).sqrt()
    typical = np.median(bunch.data[rest], axis=0)
    described = zip(bunch.feature_names, typical.tolist(), strict=True)
    columns = Columns(tuple(Number(name, example=value) for name, value in described))
    spec = InputSpec(kind="table", shape=(4,), mean=(0.0,) * 4, std=tuple(scale.tolist()), columns=columns)
    names = [str(name) for name in bunch.target_names]
    return split_in_memory((inputs[rest], labels[rest]), (inputs[test], labels[test]), spec, config, names)
