from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from sdk.images import read_picture
from tests.support.datasets import CLASSES, png, write_cifar_like
from zoo.config.data import DatasetConfig
from zoo.data import dataset_images, load_data
from zoo.data.dataset_images import RowSplit
from zoo.data.sampling import Batch
from zoo.data.split import ArraySplit, Data
from zoo.data.task import Task
from zoo.utils.errors import DataError


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


def grey(height: int = 8, width: int = 8) -> bytes:
    return png(np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8))


def load_rows(path: Path, images: list[Any], labels: list[int] | None = None, **keys: Any) -> Data:
    """Load encoded images, of two classes in turn unless ``labels`` are given, from one Parquet file."""
    rows = {"image": images, "label": [i % 2 for i in range(len(images))] if labels is None else labels}
    datasets.Dataset.from_dict(rows).to_parquet(path / "rows.parquet")
    return load_data(image_config(path=str(path / "rows.parquet"), validation=2, test=2, **keys))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is small enough to be held decoded."""
    monkeypatch.setattr(dataset_images, "MEMORY_LIMIT", 0)


def test_a_data_set_too_large_for_memory_gives_the_same_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = image_config(path=str(write_cifar_like(tmp_path / "cifar", {"train": 10, "test": 4})), image_size=6)
    held = load_data(config)
    monkeypatch.setattr(dataset_images, "MEMORY_LIMIT", 42 * 3 * 6 * 6 - 1)
    large = load_data(config)
    assert (large.input_spec, large.about) == (held.input_spec, held.about)
    for name in ("train", "validation", "test"):
        small, big = getattr(held, name), getattr(large, name)
        assert (type(small), type(big)) == (ArraySplit, RowSplit)
        assert torch.equal(small.labels, big.labels)
        some = Batch(torch.tensor([2, 0]))
        assert torch.equal(small[some][0], big[some][0])
    monkeypatch.setattr(dataset_images, "MEMORY_LIMIT", 42 * 3 * 6 * 6)
    assert type(load_data(config).train) is ArraySplit


@pytest.mark.usefixtures("no_memory")
def test_statistics_of_a_large_data_set_come_from_evenly_spaced_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [png(np.full((2, 2), 10 * i, np.uint8)) for i in range(20)]
    whole = load_rows(tmp_path, images)
    monkeypatch.setattr(dataset_images, "STATISTICS", 4)
    spec = load_rows(tmp_path, images).input_spec
    shown = whole.train[Batch(torch.arange(16))][0][::4].double() / 255
    assert spec.mean == (round(float(shown.mean()), 6),)
    assert spec.std == (round(float(shown.std(correction=0)), 6),)
    assert spec.mean != whole.input_spec.mean


def test_one_colour_in_all_images_is_divided_by_1(tmp_path: Path) -> None:
    spec = load_rows(tmp_path, [png(np.full((2, 2), 51, np.uint8))] * 10).input_spec
    assert (spec.mean, spec.std) == ((0.2,), (1.0,))


def test_images_are_grey_only_if_all_are(tmp_path: Path) -> None:
    colour = png(np.zeros((8, 8, 3), np.uint8))
    assert load_rows(tmp_path, [grey()] * 10).task.input_shape == (1, 8, 8)
    assert load_rows(tmp_path, [*[grey()] * 9, colour]).task.input_shape == (3, 8, 8)
    assert load_rows(tmp_path, [grey()] * 10, mode="RGB").task.input_shape == (3, 8, 8)


def test_images_of_several_sizes_need_one_for_the_model(tmp_path: Path) -> None:
    several = [*[grey(8, 9)] * 9, grey(4, 6)]
    with pytest.raises(DataError, match=r"found images of 2 sizes, from 6x4 to 9x8 .*; set data\.image_size to"):
        load_rows(tmp_path, several)
    assert load_rows(tmp_path, several, image_size=[4, 6]).task.input_shape == (1, 4, 6)
    assert load_rows(tmp_path, [grey(8, 9)] * 10).task.input_shape == (1, 8, 9)


@pytest.mark.parametrize("limit", [0, 2**30], ids=["large", "small"])
@pytest.mark.parametrize("keys", [{}, {"image_size": 8, "mode": "L"}], ids=["looked at", "described"])
def test_broken_images_stop_the_training_or_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, keys: dict[str, Any]
) -> None:
    monkeypatch.setattr(dataset_images, "MEMORY_LIMIT", limit)
    whole = [png(np.full((8, 8), 10 * i, np.uint8)) for i in range(14)]
    images = [*whole[:4], b"no image", b"", *whole[6:]]
    with pytest.raises(DataError, match=r"found 2 images that cannot be read \(.*, row 4: .*; .*row 5: no image"):
        load_rows(tmp_path, images, **keys)
    data = load_rows(tmp_path, images, on_error="skip", **keys)
    assert "left out 2 images that cannot be read (" in data.about
    splits = (data.train, data.validation, data.test)
    assert sum(map(len, splits)) == 12
    found = {
        int(image[0, 0, 0]): int(label)
        for split in splits
        for image, label in zip(*split[Batch(torch.arange(len(split)))], strict=True)
    }
    assert found == {10 * i: i % 2 for i in range(14) if i not in (4, 5)}
    data.check()


def test_a_class_that_loses_all_its_images_is_an_error(tmp_path: Path) -> None:
    images, labels = [grey()] * 20, [0] * 12 + [1] * 8
    broken = [image if label == 0 else b"x" for image, label in zip(images, labels, strict=True)]
    with pytest.raises(DataError, match=r"found no image that can be read for 1: left out 8 images.*; \.\.\.\)"):
        load_rows(tmp_path, broken, labels, on_error="skip")


@pytest.mark.usefixtures("no_memory")
def test_an_image_cut_short_is_named_by_its_row_before_training_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, described = [grey(64, 64)] * 14, {"image_size": 64, "mode": "L"}
    train = load_rows(tmp_path, images, **described).train
    assert isinstance(train, RowSplit)
    row = int(train.part.indices[-1])
    images[row] = images[row][:-900]
    with pytest.raises(DataError, match=rf"row {row}: cannot read the content of .* bytes as an image: .*truncated"):
        load_rows(tmp_path, images, **described)  # one of those that mean and deviation come from
    monkeypatch.setattr(dataset_images, "STATISTICS", 1)
    data = load_rows(tmp_path, images, **described)
    with pytest.raises(DataError, match=rf"found images that cannot be read: 1 \(split .*, row {row} \(.*; repair or"):
        data.check()


def test_an_image_outside_the_data_files_is_refused(tmp_path: Path) -> None:
    outside = [{"bytes": None, "path": "/etc/passwd"}] * 10
    with pytest.raises(DataError, match="found the image '/etc/passwd' by its path, allowed images inside"):
        load_rows(tmp_path, outside)


@pytest.mark.usefixtures("no_memory")
def test_the_hash_of_a_large_data_set_is_that_of_its_encoded_images_and_labels(tmp_path: Path) -> None:
    images = [png(np.full((8, 8), 10 * i, np.uint8)) for i in range(14)]
    first = load_rows(tmp_path, images).train.hashes()
    assert load_rows(tmp_path, images).train.hashes() == first
    assert load_rows(tmp_path, [images[0], *images[:-1]]).train.hashes() != first
    assert load_rows(tmp_path, images, [(i + 1) % 2 for i in range(14)]).train.hashes() != first
