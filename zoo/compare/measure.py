"""Measures a trained model on the test split of its data: which samples are right, what it costs, how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sdk.artifact import ONNX_FILE, RECIPE_FILE, WEIGHTS_FILE, Artifact, ArtifactConfig
from sdk.backends import backend_file, choose_backend
from sdk.loading import open_model
from sdk.resolve import open_artifact
from sdk.tasks import check_classifier
from zoo.artifacts.catalog import is_baseline
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.stored_recipe import recipe_of_artifact
from zoo.compare.cost import count_cost
from zoo.compare.record import Record, pack
from zoo.config.data import DataConfig
from zoo.data.location import dataset_title
from zoo.data.sampling import Batch
from zoo.data.split import Data, Split
from zoo.families.registry import PACKAGE_KEY, other_data
from zoo.recipe import load_recipe
from zoo.recipe.own_data import recipe_on_data
from zoo.utils.errors import CompareError
from zoo.utils.progress import Progress, no_progress
from zoo.utils.provenance import now

BATCHES = (1, 64)
"""Batch sizes of the latency."""
_LEAST, _MOST, _SECONDS = 5, 200, 1.0
"""Fewest and most timed calls, and seconds after which no further one starts."""
_EVALUATED = 256


class Loader:
    """Loads the data of models, each data set once."""

    def __init__(self, data_dir: Path | None = None, path: str | None = None) -> None:
        self.data_dir = data_dir
        self.path = path
        """The user's own data, which replace those of the recipes; None: the recipes' own."""
        self._loaded: dict[str, Data] = {}

    def load(self, recipe_file: Path, model: ArtifactConfig) -> tuple[DataConfig, Data]:
        """Return the data of a model. Raises DataError, also for data of other classes, and RecipeError."""
        config = load_recipe(recipe_file).data
        if self.path is not None:
            config = recipe_on_data(recipe_file, self.path, name=model.name, data_dir=self.data_dir)[0].data
        key = f"{config.model_dump_json()} {model.labels} {model.input.shape}"
        if key not in self._loaded:
            self._loaded = {key: load_matching_data(config, model, self.data_dir)}
        return config, self._loaded[key]


def data_name(config: DataConfig) -> str:
    """Return the short name of a data set: the last part of an id on the Hub, or the name of a folder."""
    return dataset_title(config).rpartition("/")[2]


def model_hash(config: ArtifactConfig) -> str:
    """Return the sha256 of a model's weights, whatever backend runs them."""
    return config.files[WEIGHTS_FILE if WEIGHTS_FILE in config.files else ONNX_FILE].sha256


def open_to_measure(name: str) -> Artifact:
    """Open a model (a name, a folder or a Hub id) with the files that a measurement reads.

    Raises CompareError for a model without a recipe, whose data are unknown.
    """

    def files(config: ArtifactConfig) -> list[str]:
        if RECIPE_FILE not in config.files:
            raise CompareError(f"{config.name}: found no recipe: it was trained outside the zoo's loop; "
                               "compare models that have one")  # fmt: skip
        cost = [ONNX_FILE] if ONNX_FILE in config.files else []
        return [backend_file(choose_backend(config, "auto")), *cost, RECIPE_FILE]

    return open_artifact(name, files)


def measure_model(name: str, loader: Loader, progress: Progress = no_progress) -> Record:
    """Measure a model on the test split of its data, or of the loader's own data.

    Raises CompareError, LoadError, ArtifactError, and DataError for data that are missing or of other classes.
    """
    artifact = open_to_measure(name)
    config = artifact.config
    check_classifier("zoo compare", config.name, config.task)
    recipe, recipe_file = recipe_of_artifact(artifact), artifact.file(RECIPE_FILE)
    progress(f"loading the data of {config.name}")
    section, data = loader.load(recipe_file, config)
    backend = choose_backend(config, "auto")
    model = open_model(artifact, backend, threads=None if backend == "torch" else 1)
    progress(f"measuring {config.name}")
    test = data.test
    hits = right_answers(lambda x: model.logits(x, _EVALUATED, invert=False), test)
    raw = test[Batch(torch.arange(min(len(test), max(BATCHES))))][0].numpy()
    made, metrics = config.provenance, config.metrics
    elsewhere = other_data(config.family, config.model, made.get(PACKAGE_KEY))
    cost = count_cost(onnx.load(str(artifact.file(ONNX_FILE))), config.input.shape) if _has_graph(config) else None
    return Record(
        name=config.name,
        family=config.family,
        baseline=is_baseline(config.family),
        data=data_name(section),
        test_hash=test.hashes()["content"],
        model_hash=model_hash(config),
        correct=int(hits.sum()),
        total=len(hits),
        right=pack(hits),
        seeds=int(metrics.get("seeds", 1)) if loader.path is None else 1,
        accuracy_mean=metrics.get("test_accuracy_mean") if loader.path is None else None,
        accuracy_std=metrics.get("test_accuracy_std") if loader.path is None else None,
        parameters=config.parameters,
        edges=cost.edges if cost else None,
        multiply_adds=cost.multiply_adds if cost else None,
        samples=made["steps"] * recipe.train.batch_size if "steps" in made and not elsewhere else None,
        cpu_seconds=made.get("cpu_seconds"),
        wall_seconds=made.get("wall_seconds"),
        backend=backend,
        latency_ms=time_calls(lambda x: model.logits(x, invert=False, batch=True), raw),
        file_bytes=config.files[backend_file(backend)].size,
        date=now(),
    )


def right_answers(logits: Callable[[NDArray[np.generic]], NDArray[np.float32]], split: Split) -> NDArray[np.bool_]:
    """Return True for each sample of a split that a function of raw inputs answers correctly: ``[N]``."""
    found = []
    for first in range(0, len(split), 1024):
        raw, labels = split[Batch(torch.arange(first, min(first + 1024, len(split))))]
        found.append(logits(raw.numpy()).argmax(-1) == labels.numpy())
    hits: NDArray[np.bool_] = np.concatenate(found)
    return hits


def time_calls(call: Callable[[NDArray[np.generic]], object], raw: NDArray[np.generic]) -> dict[str, float]:
    """Return the milliseconds of a call on the first inputs, the fastest of many, by batch size.

    The fastest call is the one that other programs on the machine disturb least.
    """
    return {str(size): round(1e3 * _fastest(partial(call, raw[:size])), 4) for size in BATCHES if size <= len(raw)}


def _fastest(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest call, of at least five, after one that is not timed."""
    call()
    samples: list[float] = []
    while len(samples) < _LEAST or (len(samples) < _MOST and sum(samples) < _SECONDS):
        started = time.perf_counter()
        call()
        samples.append(time.perf_counter() - started)
    return min(samples)


def _has_graph(config: ArtifactConfig) -> bool:
    return ONNX_FILE in config.files
