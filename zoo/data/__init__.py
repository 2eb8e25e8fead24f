"""Named data sets. Each has a module with ``load(config, folder) -> Data``, imported when a recipe asks for it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.config.data import DataConfig
from zoo.data.location import data_folder

if TYPE_CHECKING:
    from zoo.data.split import Data

_MODULES = {
    "dataset": "zoo.data.dataset",
    "digits": "zoo.data.digits",
    "fashion_mnist": "zoo.data.mnist",
    "image_folder": "zoo.data.image_folder",
    "iris": "zoo.data.iris",
    "mnist": "zoo.data.mnist",
}


def load_data(config: DataConfig, data_dir: str | Path | None = None) -> Data:
    """Load the data set of a recipe's ``data:`` section.

    :func:`zoo.data.location.data_folder` chooses the folder from ``data_dir`` and the section's ``path``. An echo has
    no labels. Raises DataError for a data set that is missing, damaged or too small to be split as the config says.
    """
    own = None if config.name == "dataset" else getattr(config, "path", None)  # a data set's path may be a Hub id
    folder = data_folder(data_dir, own)
    data: Data = importlib.import_module(_MODULES[config.name]).load(config, folder)
    return data if config.task == "classification" else replace(data, kind=config.task, labels=[])
