from __future__ import annotations

from pathlib import Path

import pytest

from zoo.config.data import DataConfig, DatasetConfig, ImageFolderConfig, MnistConfig
from zoo.data.location import data_folder, dataset_title


def test_the_data_folder_is_the_argument_then_the_environment_then_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_DATA", "/from/environment")
    assert data_folder("/given") == Path("/given")
    assert data_folder() == Path("/from/environment")
    monkeypatch.delenv("ZOO_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "cellzoo" / "data"


def test_the_folder_of_the_call_comes_before_the_recipe_s_and_that_before_the_environment_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ZOO_DATA", "/from/environment")
    assert data_folder("/given", "/from/recipe") == Path("/given")
    assert data_folder(None, "/from/recipe") == Path("/from/recipe")
    assert data_folder(None, "~/pets") == Path.home() / "pets"
    assert data_folder(None, None) == Path("/from/environment")


@pytest.mark.parametrize(
    ("config", "title"),
    [
        (MnistConfig(name="mnist", path="/somewhere"), "mnist"),
        (DatasetConfig(name="dataset", path="uoft-cs/cifar10"), "uoft-cs/cifar10"),
        (DatasetConfig(name="dataset", path="/home/someone/photos"), "photos"),
        (DatasetConfig(name="dataset", path="/home/someone/wine.csv"), "wine.csv"),
        (ImageFolderConfig(name="image_folder", path="/home/someone/pets"), "pets"),
        (ImageFolderConfig(name="image_folder"), "image_folder"),
    ],
)
def test_the_title_of_a_data_set_names_no_folder_of_the_machine(config: DataConfig, title: str) -> None:
    assert dataset_title(config) == title
