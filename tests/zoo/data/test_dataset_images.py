from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.images import read_picture
from tests.support.datasets import CLASSES, write_cifar_like
from zoo.config.data import DatasetConfig
from zoo.data import load_data
from zoo.data.task import Task


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the Hub's libraries is in the test's folder."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf"


def image_config(**changes: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"name": "dataset", "path": "user/cifar", **changes})


def test_a_copy_below_the_data_folder_is_read_instead_of_the_hub(tmp_path: Path) -> None:
    copy = write_cifar_like(tmp_path / "data" / "cifar", {"train": 10, "test": 4})
    data = load_data(image_config(), tmp_path / "data")
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 12)
    assert data.labels == CLASSES
    assert data.task == Task((3, 8, 8), 3)
    assert data.about.startswith(f"user/cifar (local copy {copy}): 42 RGB images of 8x8 in 3 classes")


def test_pixels_and_labels_are_those_of_the_rows_in_their_order(tmp_path: Path) -> None:
    import datasets

    folder = write_cifar_like(tmp_path / "cifar", {"train": 10, "test": 4})
    rows = datasets.load_dataset("parquet", data_files=str(folder / "plain_text" / "test-*"), split="train")
    rows = rows.cast_column("img", datasets.Image(decode=False))
    data = load_data(image_config(path=str(folder)))
    images, labels = data.test.everything()
    expected = np.stack([read_picture(row["img"]["bytes"], (3, 8, 8), None) for row in rows])
    assert torch.equal(images, data.test.prepare(torch.from_numpy(expected)))
    assert labels.tolist() == rows["label"][:]


def test_training_images_are_normalised_to_mean_0_and_deviation_1(tmp_path: Path) -> None:
    data = load_data(image_config(path=str(write_cifar_like(tmp_path / "cifar", {"train": 20, "test": 4}))))
    images, _ = data.train.everything()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_grey_mode_and_another_size_convert_as_the_sdk_does(tmp_path: Path) -> None:
    folder = write_cifar_like(tmp_path / "cifar", {"train": 10, "test": 4})
    data = load_data(image_config(path=str(folder), mode="L", image_size=[6, 4]))
    assert data.task == Task((1, 6, 4), 3)


def test_nothing_is_written_beside_the_data(tmp_path: Path) -> None:
    folder = write_cifar_like(tmp_path / "data" / "cifar", {"train": 10, "test": 4})
    before = sorted(folder.rglob("*"))
    load_data(image_config(), tmp_path / "data")
    assert sorted(folder.rglob("*")) == before
    assert (tmp_path / "hf").is_dir()
