"""Named data sets, a module each: three parts, the form of one input, and the names of the classes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.config.data import DataConfig
from zoo.data.folder import data_folder

if TYPE_CHECKING:
    from zoo.data.split import Data

_MODULES = {
    "digits": "zoo.data.digits",
    "image_folder": "zoo.data.image_folder",
    "iris": "zoo.data.iris",
    "mnist": "zoo.data.mnist",
}


def load_data(config: DataConfig, data_dir: str | Path | None = None) -> Data:
    """Load the data set of a recipe's ``data:`` section from ``data_dir`` (see :func:`zoo.data.folder.data_folder`).

    The set's module is imported when it is asked for. Raises DataError for a data set that is missing, damaged or too
    small for its split.
    """
    data: Data = importlib.import_module(_MODULES[config.name]).load(config, data_folder(data_dir))
    return data
