from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from zoo.config.data import ImageFolderConfig
from zoo.data import load_data
from zoo.data.sampling import Batch, training_batches
from zoo.data.task import Task
from zoo.utils.errors import DataError


def write_images(folder: Path, parts: dict[str, int], classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Write random colour images of 20 to 59 pixels a side: ``parts[name]`` per class in the folder ``name``."""
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


def test_evaluation_images_are_resized_and_cropped_as_in_torchvision(tmp_path: Path) -> None:
    data = load_data(folder_config(), write_images(tmp_path, {"train": 10, "val": 3}))
    images, labels = data.test[Batch(torch.arange(6))]
    transform = v2.Compose([v2.Resize(18), v2.CenterCrop(16), v2.PILToTensor()])
    paths = [tmp_path / "val" / label / f"{i}.png" for label in ("cat", "dog") for i in range(3)]
    assert torch.equal(images, torch.stack([transform(Image.open(path)) for path in paths]))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_each_seed_crops_training_images_differently(tmp_path: Path) -> None:
    config = folder_config(augment={"crop": {}, "flip": True})
    train = load_data(config, write_images(tmp_path, {"train": 10, "val": 3})).train
    first, second = (train[Batch(torch.arange(8), seed=seed)][0] for seed in (0, 1))
    assert first.shape == second.shape == (8, 3, 16, 16)
    assert not torch.equal(first, second)
    assert torch.equal(train[Batch(torch.arange(8), seed=0)][0], first)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
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


def test_folders_with_different_classes_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 3})
    write_images(tmp_path, {"val": 3}, classes=("cat", "emu"))
    with pytest.raises(DataError, match="different classes: dog, emu"):
        load_data(folder_config(), tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [{}, {"crop": {}}])
def test_a_file_that_is_not_an_image_is_named_in_one_line(
    tmp_path: Path, workers: int, augment: dict[str, object]
) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    for broken in (tmp_path / "train").glob("*/*.png"):
        broken.write_text("no image")
    train = load_data(folder_config(workers=workers, augment=augment), tmp_path).train
    with pytest.raises(DataError, match=r"\.png") as info:
        list(train.stream(training_batches(len(train), 4, 0, 0, 4), torch.device("cpu")))
    assert "\n" not in str(info.value)
