"""Classic learners of scikit-learn on the zoo's data sets, as baselines: their settings are chosen on validation.

They see the training split as it is, without augmentation, and are not fitted again with the validation split.
"""

from __future__ import annotations

import hashlib
import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.compare.record import Record, pack
from zoo.utils.errors import CompareError
from zoo.utils.progress import Progress, no_progress
from zoo.utils.provenance import now

_TABLES = ("digits", "iris")
_IMAGES = ("mnist", "fashion_mnist", "cifar10")
_RECIPES = {
    "digits": "snapshots-digits",
    "iris": "nca-iris",
    "mnist": "mlp-mnist",
    "fashion_mnist": "mlp-fashion",
    "cifar10": "cnn-cifar10",
}
"""By data set: a recipe whose ``data:`` section says how it is split."""
LEARNERS = {
    "knn": (*_TABLES, *_IMAGES),
    "logistic": (*_TABLES, *_IMAGES),
    "boosting": _TABLES,
}
"""The data sets of each learner; boosting is for tables, and digits has few enough pixels to be one."""


def is_classic(name: str) -> bool:
    """Return True for a name such as ``knn-mnist``."""
    return name in names()


def names() -> list[str]:
    """Return the names of all classic learners, each with its data set."""
    return [f"{learner}-{data}" for learner, sets in LEARNERS.items() for data in sets]


def measure(name: str, data_dir: Path | None = None, progress: Progress = no_progress) -> Record:
    """Fit a learner with every setting, choose by validation accuracy, and test once. Raises DataError."""
    from sklearn.exceptions import ConvergenceWarning

    from zoo.compare.measure import data_name, time_calls
    from zoo.data import load_data
    from zoo.recipe import load_recipe

    learner, _, data_set = name.partition("-")
    progress(f"loading {data_set}")
    config = load_recipe(_RECIPES[data_set]).data
    data = load_data(config, data_dir)
    (x, y), (held, held_labels), (test, truth) = (_flat(split) for split in (data.train, data.validation, data.test))
    started, used = time.perf_counter(), time.process_time()
    tried = []
    for setting, model in _candidates(learner):
        progress(f"fitting {name}, {setting}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # validation judges a fit that stops at the limit
            model.fit(x, y)
        tried.append((float((model.predict(held) == held_labels).mean()), setting, model))
    _, setting, model = max(tried, key=lambda one: one[0])
    cpu, wall = time.process_time() - used, time.perf_counter() - started
    progress(f"testing {name}, {setting}")
    hits: NDArray[np.bool_] = model.predict(test) == truth
    size, edges, each = _size(learner, model, x)
    return Record(
        name=name,
        family="scikit-learn",
        baseline=True,
        data=data_name(config),
        test_hash=data.test.hashes()["content"],
        model_hash=hashlib.sha256(setting.encode()).hexdigest(),
        correct=int(hits.sum()),
        total=len(hits),
        right=pack(hits),
        seeds=1,
        accuracy_mean=None,
        accuracy_std=None,
        parameters=size,
        edges=edges,
        multiply_adds=each,
        samples=len(x) * len(tried),
        cpu_seconds=round(cpu, 1),
        wall_seconds=round(wall, 1),
        backend=f"scikit-learn, {setting}",
        latency_ms=time_calls(model.predict, test),
        file_bytes=len(pickle.dumps(model)),
        date=now(),
    )


def _flat(split: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    inputs, labels = split.everything()
    return inputs.flatten(1).numpy(), labels.numpy()


def _candidates(learner: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings to try, and a new estimator with each."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    make: dict[str, tuple[str, tuple[Any, ...], Callable[[Any], Any]]] = {
        "knn": ("k", (1, 3, 5), lambda k: KNeighborsClassifier(k, algorithm="brute")),
        "logistic": ("C", (1e-3, 1e-2, 0.1, 1.0, 10.0), lambda c: LogisticRegression(C=c, max_iter=100)),
        "boosting": ("rate", (0.05, 0.1, 0.2), lambda rate: HistGradientBoostingClassifier(
            learning_rate=rate, early_stopping=False, random_state=0)),
    }  # fmt: skip
    if learner not in make:
        raise CompareError(f"found learner {learner!r}, allowed are {', '.join(make)}")
    key, values, build = make[learner]
    for value in values:
        yield f"{key} {value:g}", build(value)


def _size(learner: str, model: Any, x: NDArray[np.float32]) -> tuple[int, int | None, int | None]:
    """Return the stored numbers, the edges and the multiply-adds of one prediction (None: not a sum of products)."""
    if learner == "knn":
        return x.size + len(x), None, x.size
    if learner == "logistic":
        return model.coef_.size + model.intercept_.size, int(np.count_nonzero(model.coef_)), model.coef_.size
    nodes = sum(len(tree.nodes) for stage in model._predictors for tree in stage)
    return 2 * nodes, None, None  # a feature's threshold or a leaf's value, and a feature's number
