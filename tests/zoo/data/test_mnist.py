from __future__ import annotations

import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import mnist

from zoo.config.data import FashionMnistConfig, MnistConfig
from zoo.data import load_data
from zoo.data.mnist import MNIST
from zoo.data.sampling import evaluation_batches
from zoo.data.task import Task
from zoo.utils.errors import DataError

MNIST_CONFIG = MnistConfig(name="mnist")


def write_mnist(folder: Path, train: int = 60_000, test: int = 10_000, name: str = "MNIST") -> Path:
    """Write files in MNIST's format: image i is filled with the byte i % 256, its label is i % 10."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        numbers = np.arange(count)
        pixels = np.broadcast_to((numbers % 256).astype(np.uint8)[:, None], (count, 784))
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + pixels.tobytes())
        labels = (numbers % 10).astype(np.uint8)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())
    return folder


@pytest.fixture(scope="module")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(mnist, "download_and_extract_archive", fail)


@pytest.mark.usefixtures("_no_network")
def test_mnist_is_read_from_the_given_folder(mnist_folder: Path) -> None:
    data = load_data(MNIST_CONFIG, mnist_folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5000, 10_000)
    assert data.task == Task((1, 28, 28), 10)
    assert data.validation.labels.bincount().tolist() == [500] * 10
    first, labels = next(data.test.stream(evaluation_batches(10_000, 3), torch.device("cpu")))
    assert labels.tolist() == [0, 1, 2]
    values = torch.arange(3).to(torch.uint8).float().div(255).sub(0.1307).div(0.3081)
    assert torch.equal(first[:, 0, 5, 5], values)


@pytest.mark.usefixtures("_no_network")
def test_fashion_mnist_is_read_from_its_own_folder_with_its_own_classes(tmp_path: Path) -> None:
    data = load_data(FashionMnistConfig(name="fashion_mnist"), write_mnist(tmp_path, name="FashionMNIST"))
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5000, 10_000)
    assert (data.labels[0], data.labels[9], len(data.labels)) == ("T-shirt/top", "Ankle boot", 10)
    first, _ = next(data.test.stream(evaluation_batches(10_000, 3), torch.device("cpu")))
    assert torch.equal(first[:, 0, 5, 5], torch.arange(3).to(torch.uint8).float().div(255).sub(0.2860).div(0.3530))


@pytest.mark.usefixtures("_no_network")
def test_missing_fashion_mnist_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Fashion-MNIST is not in .*FOLDER/FashionMNIST/raw"):
        load_data(FashionMnistConfig(name="fashion_mnist"), tmp_path)


@pytest.mark.usefixtures("_no_network")
def test_mnist_is_read_from_the_folder_in_the_environment(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(mnist_folder))
    assert len(load_data(MNIST_CONFIG).test) == 10_000


@pytest.mark.usefixtures("_no_network")
def test_without_a_network_missing_mnist_is_refused_with_a_fix_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as info:
        load_data(MNIST_CONFIG, tmp_path / "data" / "sets")
    assert "\n" not in str(info.value)
    assert f"MNIST is not in {tmp_path}/data/sets and cannot be downloaded" in str(info.value)
    assert "ZOO_DATA=FOLDER" in str(info.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_network")
def test_missing_files_are_named_with_the_folder_that_lacks_them(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path, train=20, test=20) / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=rf"MNIST in {raw} lacks train-labels-idx1-ubyte of its 4 files, and it cannot"):
        load_data(MNIST_CONFIG, tmp_path)
    (raw / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte of its 4 files"):
        load_data(MNIST_CONFIG, tmp_path)
    assert len(list(raw.iterdir())) == 2


@pytest.mark.parametrize("size", [0, 3, 1000])
def test_truncated_files_are_refused_as_damaged(tmp_path: Path, size: int) -> None:
    write_mnist(tmp_path, train=20, test=20)
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:size])
    with pytest.raises(DataError, match="are damaged"):
        load_data(MNIST_CONFIG, tmp_path)


def test_files_with_another_number_of_images_are_refused_as_damaged(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=20, test=20)
    with pytest.raises(DataError, match="20 images and 20 labels"):
        load_data(MNIST_CONFIG, tmp_path)


def test_pickles_of_old_versions_are_ignored(mnist_folder: Path) -> None:
    processed = mnist_folder / "MNIST" / "processed"
    processed.mkdir(exist_ok=True)
    for name in (MNIST.training_file, MNIST.test_file):
        (processed / name).write_bytes(b"no pickle")
    assert len(load_data(MNIST_CONFIG, mnist_folder).test) == 10_000
