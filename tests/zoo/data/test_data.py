from __future__ import annotations

import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import mnist
from torchvision.transforms import v2

from zoo.config.data import AugmentConfig, DigitsConfig, ImageFolderConfig, MnistConfig
from zoo.data import load_data
from zoo.data.folder import data_folder
from zoo.data.mnist import MNIST
from zoo.data.sampling import Batch, evaluation_batches, hold_out, training_batches
from zoo.data.split import ArraySplit, Split
from zoo.data.task import Task
from zoo.utils.errors import DataError

CPU = torch.device("cpu")
DIGITS = DigitsConfig(name="digits")


def everything(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(split.stream(evaluation_batches(len(split), 100), CPU))
    return torch.cat([inputs for inputs, _ in parts]), torch.cat([labels for _, labels in parts])


# Which samples, when


def test_every_epoch_shows_each_sample_at_most_once_in_an_order_of_its_own() -> None:
    batches = [batch.indices for batch in training_batches(10, 3, seed=0, start=0, stop=9)]
    epochs = [torch.cat(batches[i : i + 3]).tolist() for i in (0, 3, 6)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("start", [0, 1, 3, 7])
def test_a_resumed_run_sees_what_an_uninterrupted_one_would_have_seen(start: int) -> None:
    whole = list(training_batches(10, 3, seed=5, start=0, stop=9))[start:]
    rest = list(training_batches(10, 3, seed=5, start=start, stop=9))
    assert [(b.indices.tolist(), b.seed) for b in rest] == [(b.indices.tolist(), b.seed) for b in whole]


def test_another_seed_gives_another_order_and_other_augmentation() -> None:
    one, other = (next(training_batches(100, 50, seed, 0, 1)) for seed in (0, 1))
    assert one.indices.tolist() != other.indices.tolist()
    assert one.seed != other.seed


def test_processes_share_each_batch_in_equal_parts() -> None:
    whole = [batch.indices for batch in training_batches(20, 6, 0, 0, 5)]
    parts = [list(training_batches(20, 6, 0, 0, 5, rank, 2)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert len(first.indices) == len(second.indices) == 3
        assert sorted([*first.indices.tolist(), *second.indices.tolist()]) == sorted(batch.tolist())
        assert first.seed != second.seed


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_together_evaluate_every_sample_once(world: int) -> None:
    seen = [i for rank in range(world) for b in evaluation_batches(23, 4, rank, world) for i in b.indices.tolist()]
    assert sorted(seen) == list(range(23))


def test_held_out_samples_are_drawn_equally_per_class() -> None:
    labels = torch.arange(100) % 5
    rest, held = hold_out(labels, 20, seed=0)
    assert labels[held].bincount().tolist() == [4] * 5
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(100))


@pytest.mark.parametrize("part", [3, 96, 100, 1000, 0.01, 0.99])
def test_an_impossible_number_of_held_out_samples_is_refused(part: int) -> None:
    with pytest.raises(DataError, match=rf"data\.validation {part} of 100 .*: allowed are 5 to 95 samples"):
        hold_out(torch.arange(100) % 5, part, seed=0)


# Batches


def split_of(inputs: torch.Tensor, augment: AugmentConfig | None = None) -> ArraySplit:
    spec = load_data(DIGITS).input_spec
    return ArraySplit(inputs, torch.zeros(len(inputs)).long(), spec, augment or AugmentConfig(), 0)


def test_evaluation_inputs_are_normalised_bit_for_bit_as_stated() -> None:
    raw = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    split = split_of(raw, AugmentConfig(shift=2, flip=True))
    mean, std = torch.tensor(split.spec.mean), torch.tensor(split.spec.std)
    expected = raw.float().div(255).sub(mean[0]).div(std[0])
    assert torch.equal(everything(split)[0], expected)


def test_the_sdk_prepares_the_same_tensor_as_training() -> None:
    raw = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    split = split_of(raw)
    assert np.array_equal(split.spec.prepare(raw.numpy())[0], everything(split)[0].numpy())


def test_augmentation_is_a_function_of_the_batchs_seed_and_leaves_the_global_generator_alone() -> None:
    split = split_of(torch.rand(20, 1, 8, 8), AugmentConfig(shift=2, rotate=30))
    state = torch.get_rng_state()
    first = split[Batch(torch.arange(20), seed=1)][0]
    assert torch.equal(split[Batch(torch.arange(20), seed=1)][0], first)
    assert not torch.equal(split[Batch(torch.arange(20), seed=2)][0], first)
    list(split.stream(training_batches(20, 5, 0, 0, 8), CPU))
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_give_the_same_batches_as_none() -> None:
    split = split_of(torch.rand(20, 1, 8, 8), AugmentConfig(shift=2, rotate=30))
    alone = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    split.workers = 2
    together = [inputs for inputs, _ in split.stream(training_batches(20, 5, 0, 0, 8), CPU)]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


# digits


def test_digits_are_split_into_three_parts_that_share_nothing() -> None:
    data = load_data(DIGITS)
    assert (len(data.train), len(data.validation), len(data.test)) == (1293, 144, 360)
    assert data.task == Task((1, 8, 8), 10)
    assert data.labels == [str(digit) for digit in range(10)]
    rows = torch.cat([everything(part)[0] for part in (data.train, data.validation, data.test)]).flatten(1)
    images = torch.from_numpy(load_digits().images / 16).float().flatten(1)
    ours = rows.mul(data.input_spec.std[0]).add(data.input_spec.mean[0]).mul(16).round()
    assert sorted(ours.tolist()) == sorted(images.mul(16).tolist())


def test_the_test_digits_stay_when_the_seed_of_the_split_changes() -> None:
    one, other = load_data(DIGITS), load_data(DigitsConfig(name="digits", seed=1))
    assert torch.equal(everything(one.test)[0], everything(other.test)[0])
    assert not torch.equal(everything(one.validation)[0], everything(other.validation)[0])


def test_digits_have_about_zero_mean_and_unit_spread() -> None:
    inputs, _ = everything(load_data(DIGITS).train)
    assert abs(float(inputs.mean())) < 0.01
    assert abs(float(inputs.std()) - 1) < 0.01


# MNIST


def write_mnist(folder: Path, train: int = 60_000, test: int = 10_000) -> Path:
    """Files in MNIST's format; image i holds the byte i % 256, its label is i % 10."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        numbers = np.arange(count)
        pixels = np.broadcast_to((numbers % 256).astype(np.uint8)[:, None], (count, 784))
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, 28, 28) + pixels.tobytes())
        labels = (numbers % 10).astype(np.uint8)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + labels.tobytes())
    return folder


MNIST_CONFIG = MnistConfig(name="mnist")


@pytest.fixture(scope="module")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(mnist, "download_and_extract_archive", fail)


@pytest.mark.usefixtures("_no_network")
def test_mnist_is_read_where_it_is(mnist_folder: Path) -> None:
    data = load_data(MNIST_CONFIG, mnist_folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5000, 10_000)
    assert data.task == Task((1, 28, 28), 10)
    assert data.validation.labels.bincount().tolist() == [500] * 10
    first, labels = next(data.test.stream(evaluation_batches(10_000, 3), CPU))
    assert labels.tolist() == [0, 1, 2]
    values = torch.arange(3).to(torch.uint8).float().div(255).sub(0.1307).div(0.3081)
    assert torch.equal(first[:, 0, 5, 5], values)


@pytest.mark.usefixtures("_no_network")
def test_the_data_folder_comes_from_the_environment(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(mnist_folder))
    assert len(load_data(MNIST_CONFIG).test) == 10_000


def test_the_data_folder_is_the_argument_then_the_environment_then_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_DATA", "/from/environment")
    assert data_folder("/given") == Path("/given")
    assert data_folder() == Path("/from/environment")
    monkeypatch.delenv("ZOO_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "cellzoo" / "data"


@pytest.mark.usefixtures("_no_network")
def test_missing_mnist_without_a_network_says_how_to_set_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError) as info:
        load_data(MNIST_CONFIG, tmp_path / "data" / "sets")
    assert "\n" not in str(info.value)
    assert f"MNIST is not in {tmp_path}/data/sets and cannot be downloaded" in str(info.value)
    assert "ZOO_DATA=FOLDER" in str(info.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 3, 1000])
def test_truncated_mnist_files_are_called_damaged(tmp_path: Path, size: int) -> None:
    write_mnist(tmp_path, train=20, test=20)
    images = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:size])
    with pytest.raises(DataError, match="are damaged"):
        load_data(MNIST_CONFIG, tmp_path)


def test_mnist_files_of_the_wrong_length_are_called_damaged(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=20, test=20)
    with pytest.raises(DataError, match="20 images and 20 labels"):
        load_data(MNIST_CONFIG, tmp_path)


def test_pickles_that_old_versions_left_are_not_read(mnist_folder: Path) -> None:
    processed = mnist_folder / "MNIST" / "processed"
    processed.mkdir(exist_ok=True)
    for name in (MNIST.training_file, MNIST.test_file):
        (processed / name).write_bytes(b"no pickle")
    assert len(load_data(MNIST_CONFIG, mnist_folder).test) == 10_000


# Image folders


def write_images(folder: Path, parts: dict[str, int], classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    generator = np.random.default_rng(0)
    for part, count in parts.items():
        for label in classes:
            (folder / part / label).mkdir(parents=True)
            for i in range(count):
                height, width = generator.integers(20, 60, 2)
                pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{i}.png")
    return folder


def folder_config(**changes: object) -> ImageFolderConfig:
    base = {"name": "image_folder", "image_size": 16, "resize": 18, "validation": 4}
    return ImageFolderConfig.model_validate({**base, **changes})


def test_without_a_test_folder_val_is_the_test_set(tmp_path: Path) -> None:
    data = load_data(folder_config(), write_images(tmp_path, {"train": 10, "val": 3}))
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 4, 6)
    assert data.labels == ["cat", "dog"]
    assert data.task == Task((3, 16, 16), 2)
    assert data.input_spec.resize == 18


def test_with_a_test_folder_val_is_the_validation_set(tmp_path: Path) -> None:
    data = load_data(folder_config(), write_images(tmp_path, {"train": 10, "val": 3, "test": 2}))
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 6, 4)


def test_evaluation_sees_torchvisions_resize_and_centre_crop(tmp_path: Path) -> None:
    data = load_data(folder_config(), write_images(tmp_path, {"train": 10, "val": 3}))
    images, labels = data.test[Batch(torch.arange(6))]
    transform = v2.Compose([v2.Resize(18), v2.CenterCrop(16), v2.PILToTensor()])
    paths = [tmp_path / "val" / label / f"{i}.png" for label in ("cat", "dog") for i in range(3)]
    assert torch.equal(images, torch.stack([transform(Image.open(path)) for path in paths]))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_training_images_are_cropped_anew_for_each_seed(tmp_path: Path) -> None:
    config = folder_config(augment={"crop": {}, "flip": True})
    train = load_data(config, write_images(tmp_path, {"train": 10, "val": 3})).train
    first, second = (train[Batch(torch.arange(8), seed=seed)][0] for seed in (0, 1))
    assert first.shape == second.shape == (8, 3, 16, 16)
    assert not torch.equal(first, second)
    assert torch.equal(train[Batch(torch.arange(8), seed=0)][0], first)


def test_images_of_a_single_channel_become_rgb(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    Image.new("L", (30, 30), 77).save(tmp_path / "val" / "cat" / "0.png")
    images, _ = load_data(folder_config(), tmp_path).test[Batch(torch.arange(1))]
    assert images.unique().tolist() == [77]


@pytest.mark.parametrize("missing", ["train", "val"])
def test_a_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    write_images(tmp_path, {part: 3 for part in ("train", "val") if part != missing})
    with pytest.raises(DataError, match=rf"no folder .*{missing}; expected train/CLASS/ and val/CLASS/"):
        load_data(folder_config(), tmp_path)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="class folder"):
        load_data(folder_config(), tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 3, "val": 3})
    (tmp_path / "train" / "eel").mkdir()
    with pytest.raises(DataError, match="eel"):
        load_data(folder_config(), tmp_path)


def test_parts_with_different_classes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 3})
    write_images(tmp_path, {"val": 3}, classes=("cat", "emu"))
    with pytest.raises(DataError, match="different classes: dog, emu"):
        load_data(folder_config(), tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [{}, {"crop": {}}])
def test_a_file_that_is_no_image_is_named_in_one_line(tmp_path: Path, workers: int, augment: dict[str, object]) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    for broken in (tmp_path / "train").glob("*/*.png"):
        broken.write_text("no image")
    train = load_data(folder_config(workers=workers, augment=augment), tmp_path).train
    with pytest.raises(DataError, match=r"\.png") as info:
        list(train.stream(training_batches(len(train), 4, 0, 0, 4), CPU))
    assert "\n" not in str(info.value)
