"""Test samples of a model's data set, stored in the site. Loads torch, as the data sets do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdk.artifact import Artifact
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.stored_recipe import recipe_of_artifact
from zoo.config.data import DataConfig, DatasetConfig, FashionMnistConfig, MnistConfig
from zoo.data.location import data_folder, dataset_title, is_hub_id
from zoo.data.sampling import Batch
from zoo.data.split import Data, Split
from zoo.utils.errors import DataError

SAMPLES_FOLDER = "samples"
_SUPPORT = 500
"""Training rows of a table that a rule may learn from."""


class SampleStore:
    """The test samples of a site's models; models of the same data share a file."""

    def __init__(self, site: Path, count: int, data_dir: Path | None) -> None:
        self._site, self._count, self._data_dir = site, count, data_dir
        self._stored: dict[str, dict[str, Any]] = {}

    def add(self, artifact: Artifact) -> dict[str, Any]:
        """Write raw inputs of a model's data set below the site and return their description.

        Of images these are ``count`` at equal distances in the test split. Of tables these are ``count`` test rows, and
        training rows after them. Nothing is downloaded. Raises DataError for a data set that is missing or not the
        model's.
        """
        config = recipe_of_artifact(artifact).data
        model = artifact.config
        about = (config.model_dump_json(exclude={"augment", "workers"}), model.labels, model.input)
        if repr(about) not in self._stored:
            _check_present(config, self._data_dir)
            data = load_matching_data(config, model, self._data_dir)
            self._stored[repr(about)] = self._write(data, dataset_title(config), model.input.kind)
        return self._stored[repr(about)]

    def _write(self, data: Data, title: str, kind: str) -> dict[str, Any]:
        inputs, labels = _take(data.test, self._count)
        test = len(labels)
        if kind == "table":
            more, their = _take(data.train, _SUPPORT)
            inputs, labels = torch.cat([inputs, more]), torch.cat([labels, their])
        raw = inputs.numpy() if inputs.dtype == torch.uint8 else inputs.numpy().astype(np.float32)
        content = np.ascontiguousarray(raw).tobytes()
        path = Path(SAMPLES_FOLDER) / f"{hashlib.sha256(content).hexdigest()[:16]}.bin"
        (self._site / SAMPLES_FOLDER).mkdir(exist_ok=True)
        (self._site / path).write_bytes(content)
        return {
            "file": path.as_posix(),
            "data": title,
            "dtype": str(raw.dtype),
            "shape": list(raw.shape[1:]),
            "labels": labels.tolist(),
            "test": test,
        }


def _take(split: Split, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    return split[Batch(chosen)]


def _check_present(config: DataConfig, data_dir: Path | None) -> None:
    """Raise DataError unless the data set is on this machine: a site is no reason for a download."""
    folder = data_folder(data_dir, None if isinstance(config, DatasetConfig) else getattr(config, "path", None))
    if isinstance(config, (MnistConfig, FashionMnistConfig)):
        from zoo.data.mnist import missing_files

        present = not missing_files(folder, config.name)
    elif isinstance(config, DatasetConfig) and is_hub_id(config.path):
        present = (folder / config.path).is_dir() or (folder / config.path.split("/")[1]).is_dir()
    else:
        present = True
    if not present:
        raise DataError(f"{dataset_title(config)} is not in {folder}; pass --data-dir or set ZOO_DATA")
