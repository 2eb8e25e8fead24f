from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from zoo.config.data import ImageFolderConfig
from zoo.data import load_data
from zoo.data.image_folder import FolderSplit
from zoo.data.sampling import Batch, training_batches
from zoo.data.split import Data
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


def test_crops_have_the_height_and_width_of_the_input(tmp_path: Path) -> None:
    config = folder_config(image_size=(12, 20), resize=20, augment={"crop": {}})
    train = load_data(config, write_images(tmp_path, {"train": 10, "val": 3})).train
    assert train[Batch(torch.arange(2), seed=0)][0].shape == (2, 3, 12, 20)


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    Image.new("L", (30, 30), 77).save(tmp_path / "val" / "cat" / "0.png")
    images, _ = load_data(folder_config(), tmp_path).test[Batch(torch.arange(1))]
    assert images.unique().tolist() == [77]


def sizes(data: Data) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def test_a_missing_training_folder_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, {"val": 3})
    with pytest.raises(DataError, match=r"found val without train; allowed: CLASS/\*\.png, or train/CLASS/"):
        load_data(folder_config(), tmp_path)


def test_a_missing_folder_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: found no folder, .*; set data\.path in the recipe or pass"):
        load_data(folder_config(), tmp_path / "nowhere")


def test_class_folders_alone_are_split_in_the_same_share_of_every_class(tmp_path: Path) -> None:
    data = load_data(folder_config(test=0.2, validation=4), write_images(tmp_path, {".": 10}))
    assert sizes(data) == (12, 4, 4)
    for split, each in ((data.train, 6), (data.validation, 2), (data.test, 2)):
        assert split.labels.bincount().tolist() == [each, each]
    paths = [path for split in (data.train, data.validation, data.test) for path in split.paths]  # type: ignore[attr-defined]
    assert sorted(paths) == sorted(map(str, tmp_path.glob("*/*.png")))


def test_the_split_is_a_function_of_the_seed(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 10})
    tests = [load_data(folder_config(seed=seed), tmp_path).test.paths for seed in (0, 0, 1)]  # type: ignore[attr-defined]
    assert tests[0] == tests[1] != tests[2]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [({"train": 10}, (14, 4, 2)), ({"train": 10, "test": 3}, (16, 4, 6)), ({"train": 10, "val": 3}, (16, 4, 6))],
)
def test_missing_parts_are_held_out_of_train(
    tmp_path: Path, parts: dict[str, int], expected: tuple[int, int, int]
) -> None:
    assert sizes(load_data(folder_config(), write_images(tmp_path, parts))) == expected


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_size_of_the_test_set_is_refused_if_the_folder_has_one(tmp_path: Path, part: str) -> None:
    write_images(tmp_path, {"train": 10, part: 3})
    with pytest.raises(DataError, match=rf"data\.test 0\.2: found {part}/ in .*, which is the test set; leave the key"):
        load_data(folder_config(test=0.2), tmp_path)


def test_a_fraction_holds_out_at_least_one_image_per_class(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 4}, classes=("ant", "bee", "cat", "dog", "eel"))
    assert sizes(load_data(folder_config(validation=0.01), tmp_path)) == (10, 5, 5)


def test_an_impossible_count_is_refused_under_its_key(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 4})
    with pytest.raises(DataError, match=r"data\.test 7 of 8 .*: allowed are 2 to 6 samples"):
        load_data(folder_config(test=7), tmp_path)


def test_a_class_with_too_few_images_to_split_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 10})
    write_images(tmp_path, {".": 1}, classes=("eel",))
    with pytest.raises(DataError, match=r"data\.test 0\.1: found 1 training image in .*eel, expected at least 2"):
        load_data(folder_config(), tmp_path)


def test_one_line_says_what_was_found_and_how_it_was_split(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 10})
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "cat" / ".DS_Store").write_text("")
    assert load_data(folder_config(), tmp_path).about == (
        f"{tmp_path}: 20 images in 2 classes (cat 10, dog 10); split by seed 0: 14 for training, "
        "4 for validation, 2 for testing (left out: hidden: 1 (cat/.DS_Store); not images: 1 (cat/notes.txt))"
    )


def test_the_line_names_the_parts_and_the_range_of_many_classes(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 2, "val": 1, "test": 1}, classes=tuple(f"class-{i:02}" for i in range(11)))
    assert load_data(folder_config(), tmp_path).about == (
        f"{tmp_path}: 44 images in 11 classes (4 to 4 each); train/, val/, test/: "
        "22 for training, 11 for validation, 11 for testing"
    )


@pytest.mark.parametrize("side", [8, 32, 300])
def test_the_model_sees_most_of_an_image_at_every_size(tmp_path: Path, side: int) -> None:
    """Black with a white frame of a sixteenth: the frame is cut off by at most what the usual crop cuts off."""
    config = ImageFolderConfig.model_validate({"name": "image_folder", "image_size": side})
    write_images(tmp_path, {"train": 10, "val": 1})
    picture = Image.new("L", (512, 512), 255)
    picture.paste(0, (32, 32, 480, 480))
    picture.save(tmp_path / "val" / "cat" / "0.png")
    images, _ = load_data(config, tmp_path).test[Batch(torch.arange(1))]
    assert images.shape == (1, 3, side, side)
    assert images[0, 0, :, side // 2].float().mean() < 32  # black but for what is left of the frame
    assert images[0, 0, side // 2, side // 2] == 0


@pytest.mark.parametrize("augment", [{}, {"crop": {"scale": [1, 1], "ratio": [1, 1]}}])
def test_training_decodes_palettes_transparency_and_deep_grey_as_evaluation_does(
    tmp_path: Path, augment: dict[str, object]
) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.save(tmp_path / "train" / "cat" / "0.png")
    Image.new("RGBA", (16, 16), (255, 255, 255, 0)).save(tmp_path / "train" / "cat" / "1.png")
    Image.fromarray(np.full((16, 16), 65535, np.uint16)).save(tmp_path / "train" / "cat" / "2.png")
    for file in (tmp_path / "train" / "cat").glob("[3-9].png"):
        file.unlink()
    for file in (tmp_path / "train" / "dog").glob("*.png"):
        Image.new("RGB", (16, 16)).save(file)
    train = load_data(folder_config(image_size=16, resize=16, validation=2, augment=augment), tmp_path).train
    names = ["/".join(Path(path).parts[-2:]) for path in train.paths]  # type: ignore[attr-defined]
    images, _ = train[Batch(torch.arange(len(train)), seed=0)]
    colours = {"cat/0.png": [10, 200, 30], "cat/1.png": [0, 0, 0], "cat/2.png": [255, 255, 255]}
    for name, image in zip(names, images, strict=True):
        assert image.flatten(1).float().mean(1).tolist() == colours.get(name, [0, 0, 0]), name


def test_training_crops_turned_photographs_upright(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    for file in (tmp_path / "train").glob("*/*.png"):
        picture = Image.new("RGB", (32, 16))  # the left half becomes the top, by the tag below
        picture.paste((255, 255, 255), (0, 0, 16, 16))
        exif = Image.Exif()
        exif[0x0112] = 6  # turn by 90 degrees clockwise to show it
        picture.save(file, exif=exif)
    config = folder_config(augment={"crop": {"scale": [1, 1], "ratio": [0.5, 0.5]}})
    images, _ = load_data(config, tmp_path).train[Batch(torch.arange(4), seed=0)]
    assert images[:, :, :7].min() == 255
    assert images[:, :, 9:].max() == 0


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
    with pytest.raises(
        DataError, match=r"without images: 1 \(val/dog\); classes that train does not have: 1 \(val/emu\); repair or"
    ):
        load_data(folder_config(), tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [{}, {"crop": {}}])
def test_a_file_that_is_not_an_image_is_named_in_one_line(
    tmp_path: Path, workers: int, augment: dict[str, object]
) -> None:
    write_images(tmp_path, {"train": 10, "val": 3})
    train = load_data(folder_config(workers=workers, augment=augment), tmp_path).train
    for broken in (tmp_path / "train").glob("*/*.png"):
        broken.write_text("no image")  # after the checks
    with pytest.raises(DataError, match=r"\.png") as info:
        list(train.stream(training_batches(len(train), 4, 0, 0, 4), torch.device("cpu")))
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_crop_of_everything_equals_the_centre_in_every_mode_and_format(
    tmp_path: Path, mode: str, form: str, turn: int
) -> None:
    write_images(tmp_path, {"train": 2, "val": 1, "test": 1})
    generator = np.random.default_rng(0)
    if mode == "F":
        picture = Image.fromarray(generator.random((24, 24), dtype=np.float32))
    elif mode == "I;16":
        picture = Image.fromarray(generator.integers(0, 2**16, (24, 24), dtype=np.uint16))
    else:
        colours = Image.fromarray(generator.integers(0, 256, (24, 24, 4), dtype=np.uint8))
        picture = colours.convert("RGB").convert(mode) if mode in ("P", "CMYK", "1") else colours.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "train" / "cat" / "0.png"
    try:
        picture.save(path, form, exif=exif)
    except (OSError, KeyError, ValueError):
        pytest.skip("Pillow does not write it")
    if (mode, form) == ("F", "PPM"):
        pytest.skip("PFM has no fixed range")
    whole = {"crop": {"scale": [1, 1], "ratio": [1, 1]}}
    plain, cropped = (
        load_data(folder_config(resize=16, **changes), tmp_path).train for changes in ({}, {"augment": whole})
    )
    assert isinstance(plain, FolderSplit)
    chosen = torch.tensor([plain.paths.index(str(path))])
    assert torch.equal(plain[Batch(chosen)][0], cropped[Batch(chosen, seed=0)][0])


@pytest.mark.parametrize("crop", [None, {}])
def test_processes_that_share_a_batch_see_the_images_of_one_process(tmp_path: Path, crop: object) -> None:
    config = folder_config(augment={"crop": crop, "rotate": 20, "flip": True})
    train = load_data(config, write_images(tmp_path, {"train": 10, "val": 3, "test": 1})).train
    (whole,) = training_batches(20, 8, seed=3, start=1, stop=2)
    images, labels = train[whole]
    for rank in (0, 1):
        (share,) = training_batches(20, 8, seed=3, start=1, stop=2, rank=rank, world=2)
        found, numbers = train[share]
        assert torch.equal(found, images[rank::2])
        assert torch.equal(numbers, labels[rank::2])
