"""Every trained model that ships: it loads, matches its hashes and reproduces its recorded accuracy."""

from __future__ import annotations

import re

import pytest

import sdk
from sdk.artifact import read_artifact
from sdk.backends import backends_of
from sdk.catalog import bundled_models
from tests.support.paths import DOCS
from zoo.artifacts.evaluate import evaluate_artifact
from zoo.data.location import data_folder
from zoo.recipe import load_recipe, recipe_names

NAMES = sorted(bundled_models())
# Ten thousand pictures through the grids' ONNX files take minutes; their labels were compared with torch's at export.
# The photographs of CIFAR-10 have to be decoded, so they go through torch alone.
SLOW = {("gridnet-mnist", "onnx"), ("gridnet-mnist-gated", "onnx")}
RUNNABLE = [
    pytest.param(
        info.name,
        backend,
        marks=[pytest.mark.slow]
        if (info.name, backend) in SLOW or ("cifar10" in info.name and backend != "torch")
        else [],
    )
    for info in sdk.list_models()
    for backend in info.backends
]
DATA = {name: load_recipe(name).data.name for name in NAMES}
FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "dataset": "cifar10"}
"""By the name of a data set that is not embedded: its folder below the data folder."""
FLOORS = {
    "cellnet-digits": 0.96,
    "cellnet-fashion": 0.925,
    "cellnet-mnist": 0.99,
    "cellnet-mnist-flat": 0.98,
    "gridnet-digits": 0.96,
    "gridnet-fashion": 0.91,
    "gridnet-mnist": 0.985,
    "gridnet-mnist-gated": 0.975,
    "normnet-digits": 0.96,
    "normnet-mnist": 0.98,
    "normnet-mnist-conv": 0.98,
    "normnet-mnist-literal": 0.7,
    "snapshots-mnist": 0.965,
}


def test_the_models_that_the_readme_names_ship() -> None:
    assert set(FLOORS) <= set(NAMES)


def test_all_models_together_stay_under_a_hundred_megabytes() -> None:
    assert sum(info.size_bytes for info in sdk.list_models()) < 100e6


def test_the_page_on_installing_says_how_large_they_are() -> None:
    page = (DOCS / "guides" / "installing.md").read_text()
    [said] = re.findall(r"([0-9]+) of them models", page)
    assert float(said) == pytest.approx(sum(info.size_bytes for info in sdk.list_models()) / 1e6, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_matches_its_hash(name: str) -> None:
    artifact = read_artifact(bundled_models()[name])
    assert set(artifact.verified) == set(artifact.config.files)


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_inside_is_the_recipe_that_ships(name: str) -> None:
    inside = load_recipe(read_artifact(bundled_models()[name]).file("recipe.yaml"))
    assert name in recipe_names()
    assert inside.to_dict() == load_recipe(name).to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_it_has_every_format_that_its_recipe_asks_for(name: str) -> None:
    backends = {"safetensors": "torch", "onnx": "onnx"}
    config = read_artifact(bundled_models()[name], files=[]).config
    native = {"native"} if config.family in ("gridnet", "snapshots") else set()
    assert set(backends_of(config)) == native | {backends[form] for form in load_recipe(name).export.formats}


@pytest.mark.parametrize(("name", "backend"), RUNNABLE)
def test_the_recorded_accuracy_is_reproduced_exactly(name: str, backend: str) -> None:
    folder = data_folder() / FOLDERS.get(DATA[name], "")
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not here: set ZOO_DATA to a folder that has it")
    measured = evaluate_artifact(name, backend)
    assert measured["backend"] == backend
    assert measured["reproduced"], measured
    assert measured["accuracy"] >= FLOORS.get(name, 0)
