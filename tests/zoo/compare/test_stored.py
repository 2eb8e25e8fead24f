"""Cells of the shipped results, computed again from raw data by plain onnxruntime and numpy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sdk.catalog import bundled_models
from zoo.compare.classic import names as classic_names
from zoo.compare.record import read_results

RESULTS = read_results()
STORED = RESULTS.models
Samples = tuple[NDArray[np.float32], NDArray[np.int64]]


def _digits() -> Samples:
    bunch = load_digits()
    _, test = train_test_split(np.arange(1797), test_size=360, stratify=bunch.target, random_state=0)
    test = np.sort(test)
    return (bunch.images[test, None] / 16).astype(np.float32), bunch.target[test]


def _mnist() -> Samples:
    folder = Path(os.environ.get("ZOO_DATA", "")) / "MNIST" / "raw"
    if not folder.is_dir():
        pytest.skip("MNIST is not here: set ZOO_DATA to a folder that has it")
    images = np.fromfile(folder / "t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / "t10k-labels-idx1-ubyte", np.uint8)[8:]
    return images.astype(np.float32) / 255, labels.astype(np.int64)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("normnet-digits", _digits),
        ("snapshots-digits", _digits),
        ("mlp-digits", _digits),
        ("normnet-mnist", _mnist),
        ("mlp-mnist-pruned", _mnist),
    ],
)
def test_accuracy_samples_and_size_are_those_of_the_file(name: str, load: Callable[[], Samples]) -> None:
    stored, folder = STORED[name], bundled_models()[name]
    images, labels = load()
    config = json.loads((folder / "config.json").read_text())
    x = (images - np.float32(config["input"]["mean"][0])) / np.float32(config["input"]["std"][0])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    hits = session.run(["logits"], {"input": x})[0].argmax(1) == labels
    assert stored.total == len(labels)
    assert abs(int(hits.sum()) - stored.correct) <= 1  # two classes may tie
    assert (hits != stored.hits()).sum() <= 1
    assert stored.accuracy == pytest.approx(config["metrics"]["test_accuracy"])
    assert stored.parameters == config["parameters"]
    assert stored.samples == config["provenance"]["steps"] * _batch_size(folder)


@pytest.mark.parametrize(("name", "biases"), [("mlp-mnist-pruned", 256 + 128 + 10), ("mlp-digits", 128 + 128 + 10)])
def test_edges_of_an_mlp_are_its_weights_other_than_zero(name: str, biases: int) -> None:
    model = onnx.load(bundled_models()[name] / "model.onnx")
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    edges = sum(int(np.count_nonzero(array)) for array in arrays if array.ndim == 2)
    assert STORED[name].edges == STORED[name].multiply_adds == edges
    assert STORED[name].parameters == sum(array.size for array in arrays)
    assert sum(array.size for array in arrays if array.ndim == 1) == biases


def test_every_shipped_model_and_classic_learner_has_stored_results_of_its_weights() -> None:
    assert not set(bundled_models()) - set(STORED)
    assert {name for name in classic_names() if name.endswith(("-digits", "-iris"))} <= set(STORED)
    for name, folder in bundled_models().items():
        files = json.loads((folder / "config.json").read_text())["files"]
        weights = files["model.safetensors"]["sha256"]
        assert STORED[name].model_hash == weights, name
        assert RESULTS.robustness.get(name, {"model_hash": weights})["model_hash"] == weights, name


def test_a_rule_that_learned_on_generated_tasks_saw_no_samples_of_the_data_set() -> None:
    assert STORED["nca-learner"].samples is None
    assert STORED["nca-iris"].samples == 500 * 96


def _batch_size(folder: Path) -> int:
    [line] = [one for one in (folder / "recipe.yaml").read_text().splitlines() if one.startswith("  batch_size:")]
    return int(line.split(":")[1])
