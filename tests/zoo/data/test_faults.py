"""Faults of image folders are named before training, all at once, or left out."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.zoo.data.test_image_folder import folder_config, write_images
from zoo.data import image_checks, load_data
from zoo.data.sampling import Batch
from zoo.data.split import Data
from zoo.utils.errors import DataError

LARGE = {"image_size": 16, "resize": 18}


def noise(form: str, side: int = 64, mode: str = "RGB") -> bytes:
    generator = np.random.default_rng(1)
    file = io.BytesIO()
    image = Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).convert(mode)
    image.save(file, form, quality=90)
    return file.getvalue()


def load(folder: Path, **changes: object) -> Data:
    return load_data(folder_config(**changes), folder)


def refusal(folder: Path, **changes: object) -> str:
    with pytest.raises(DataError) as info:
        load(folder, **changes)
    assert "\n" not in str(info.value)
    return str(info.value)


def faulty(folder: Path) -> Path:
    """Write a folder with one fault of each kind."""
    write_images(folder, {"train": 10, "test": 3})
    (folder / "train" / "cat" / "0.png").write_bytes(b"")
    (folder / "train" / "dog" / "0.png").write_bytes(noise("PNG")[:-2000])
    (folder / "test" / "dog" / "0.png").write_text("no image")
    (folder / "test" / "cat" / "1.jpg").write_bytes(noise("JPEG")[:-900])
    (folder / "train" / "eel").mkdir()
    write_images(folder / "test", {".": 2}, classes=("emu",))
    return folder


def test_all_faults_are_named_at_once_with_their_number(tmp_path: Path) -> None:
    message = refusal(faulty(tmp_path))
    assert message.startswith(f"{tmp_path}: found ")
    assert "empty files: 1 (train/cat/0.png)" in message
    assert "damaged images: 2 (train/dog/0.png: " in message
    assert "test/cat/1.jpg: image file is truncated" in message
    assert "not images: 1 (test/dog/0.png)" in message
    assert "classes without images: 2 (train/eel, test/eel)" in message
    assert "classes that train does not have: 1 (test/emu)" in message
    assert message.endswith("; repair or remove them, or set data.on_error: skip to go on without them")


def test_skip_goes_on_without_them_and_says_how_many(tmp_path: Path) -> None:
    data = load(faulty(tmp_path), on_error="skip")
    assert data.labels == ["cat", "dog"]
    assert (len(data.train) + len(data.validation), len(data.test)) == (18, 5)
    for split in (data.train, data.validation, data.test):
        split.everything()
    for part in ("empty files: 1", "damaged images: 2", "not images: 1", "classes that train does not have: 1"):
        assert part in data.about


def test_skip_without_faults_changes_nothing(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 10})
    plain, skipping = load(tmp_path), load(tmp_path, on_error="skip")
    assert plain.train.paths == skipping.train.paths  # type: ignore[attr-defined]
    assert plain.about == skipping.about


def test_skip_refuses_what_remains_too_little(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 5})
    for path in (tmp_path / "dog").iterdir():
        path.write_text("no image")
    assert "found 1 classes with images, expected at least two (left out: not images: 5" in refusal(
        tmp_path, on_error="skip"
    )
    shutil.rmtree(tmp_path / "dog")
    write_images(tmp_path / "more", {"train": 5, "test": 1})
    for path in (tmp_path / "more" / "test").glob("*/*"):
        path.write_text("no image")
    assert "test: no image can be used (left out: not images: 2" in refusal(tmp_path / "more", on_error="skip")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_file_that_was_cut_off_is_found_in_a_large_folder_without_decoding_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, form: str
) -> None:
    write_images(tmp_path, {"train": 4, "val": 2, "test": 2})
    monkeypatch.setattr(image_checks, "DECODE_LIMIT", 0)
    decoded = []
    original = image_checks.decode_picture
    monkeypatch.setattr(
        image_checks, "decode_picture", lambda path, channels: decoded.append(path) or original(path, channels)
    )
    suffix = {"GIF": ".png"}.get(form, f".{form.lower()}")
    (tmp_path / part / "cat" / f"x{suffix}").write_bytes(noise(form)[:-700])
    assert f"damaged images: 1 ({part}/cat/x{suffix}" in refusal(tmp_path)
    assert len(decoded) <= 1  # some formats tell their size in the header


def test_damage_in_the_middle_is_found_in_small_folders_and_on_request_in_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, {"train": 4, "val": 2, "test": 2})
    content = bytearray(noise("PNG"))
    content[len(content) // 2] ^= 255
    (tmp_path / "test" / "dog" / "x.png").write_bytes(content)
    assert "damaged images: 1 (test/dog/x.png" in refusal(tmp_path)
    monkeypatch.setattr(image_checks, "DECODE_LIMIT", 0)
    data = load(tmp_path)
    with pytest.raises(
        DataError, match=r"^found damaged images: 1 \(test/dog/x\.png: .*; repair or remove them"
    ) as info:
        data.check()
    assert "\n" not in str(info.value)
    assert len(load(tmp_path, on_error="skip").test) == 4


def test_sound_files_with_bytes_behind_their_end_pass(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 5})
    for form in ("JPEG", "PNG"):
        (tmp_path / "cat" / f"x.{form.lower()}").write_bytes(noise(form) + bytes(5000))
    load(tmp_path).check()


def test_unusual_but_usable_images_are_counted_and_named(tmp_path: Path) -> None:
    write_images(tmp_path, {".": 10})
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "cat" / "deep.png")
    Image.new("P", (8, 8)).save(tmp_path / "cat" / "palette.PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "dog" / "turned.JPG", exif=exif)
    frames = [Image.new("RGB", (8, 8), (i, 9, 9)) for i in (0, 90)]
    frames[0].save(tmp_path / "dog" / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "dog" / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "dog" / "phone.heic").write_bytes(b"....ftypheic")
    (tmp_path / "dog" / "notes.txt").write_text("two dogs")
    (tmp_path / "dog" / "wrong.jpg").write_bytes(noise("PNG", 8))
    data = load(tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == 25
    for part in (
        "16-bit: 1 (cat/deep.png)",
        "with a palette: 1 (cat/palette.PNG)",
        "turned by EXIF: 1 (dog/turned.JPG)",
        "of several pictures, of which the first is used: 1 (dog/moving.webp)",
        "in another format than their name says: 1 (dog/wrong.jpg)",
        "images whose extension is not read: 2 (dog/moving.gif, dog/phone.heic)",
        "not images: 1 (dog/notes.txt)",
    ):
        assert part in data.about
    load(tmp_path, on_error="skip").check()


def test_images_in_training_and_test_alike_are_noted(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 10, "val": 3, "test": 3})
    shutil.copy(tmp_path / "train" / "cat" / "2.png", tmp_path / "test" / "cat" / "copy.png")
    shutil.copy(tmp_path / "train" / "dog" / "4.png", tmp_path / "val" / "cat" / "copy.png")
    about = load(tmp_path).about
    assert "(note: in validation or test and also in training: 2 (" in about
    assert "val/cat/copy.png" in about
    assert "test/cat/copy.png" in about
    assert "with the content of a file of another class: 2 (train/dog/4.png, val/cat/copy.png)" in about
    (tmp_path / "test" / "cat" / "copy.png").unlink()
    (tmp_path / "val" / "cat" / "copy.png").unlink()
    assert "note" not in load(tmp_path).about


def test_a_class_that_becomes_empty_by_skipping_is_dropped_everywhere(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 5, "val": 2, "test": 2}, classes=("ant", "bee", "cat"))
    for path in (tmp_path / "train" / "bee").iterdir():
        path.write_bytes(b"")
    data = load(tmp_path, on_error="skip")
    assert data.labels == ["ant", "cat"]
    assert "classes that train has no images of: 2 (val/bee, test/bee)" in data.about
    labels = data.test[Batch(torch.arange(len(data.test)))][1]
    assert labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("value", ["ignore", True, 1])
def test_other_values_of_on_error_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="on_error"):
        folder_config(on_error=value)


def test_the_key_is_stored_only_when_it_says_skip() -> None:
    assert "on_error" not in folder_config().model_dump()
    assert folder_config(on_error="skip").model_dump()["on_error"] == "skip"
