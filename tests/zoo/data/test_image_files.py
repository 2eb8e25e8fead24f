from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from tests.support.paths import ROOT
from zoo.data.image_files import Listing, list_images
from zoo.utils.errors import DataError


def touch(folder: Path, *paths: str) -> Path:
    """Create empty files, whose content does not matter to a listing."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


def names(listing: Listing, folder: Path) -> dict[str, list[str]]:
    """Return the paths of each part relative to the folder."""
    return {
        part: [os.path.relpath(path, folder) for paths in classes.values() for path in paths]
        for part, classes in listing.parts.items()
    }


def test_class_folders_are_one_part(tmp_path: Path) -> None:
    listing = list_images(touch(tmp_path, "dog/1.png", "cat/2.png", "cat/1.png"))
    assert names(listing, tmp_path) == {"all": ["cat/1.png", "cat/2.png", "dog/1.png"]}
    assert listing.left_out.summary() == ""


@pytest.mark.parametrize("train", ["train", "Train", "training", "TRAINING"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_parts_are_found_under_their_usual_names(tmp_path: Path, train: str, val: str, test: str) -> None:
    files = [f"{part}/{label}/1.png" for part in (train, val, test) for label in ("cat", "dog")]
    listing = list_images(touch(tmp_path, *files))
    assert names(listing, tmp_path) == {"train": files[:2], "val": files[2:4], "test": files[4:]}


def test_files_come_in_the_order_of_torchvision(tmp_path: Path) -> None:
    files = ["b/10.png", "b/9.png", "b/Z.JPG", "b/in/1.webp", "b/in-2/1.png", "b/in/deep/1.bmp", "a/x.jpeg", "B/1.tif"]
    listing = list_images(touch(tmp_path, *files))
    expected = [os.path.relpath(path, tmp_path) for path, _ in ImageFolder(tmp_path).samples]
    assert names(listing, tmp_path)["all"] == expected
    assert list(listing.parts["all"]) == ImageFolder(tmp_path).classes
    assert listing.nested == 3


def test_upper_case_suffixes_are_images(tmp_path: Path) -> None:
    listing = list_images(touch(tmp_path, "cat/1.PNG", "dog/1.JpEg"))
    assert names(listing, tmp_path)["all"] == ["cat/1.PNG", "dog/1.JpEg"]


def test_what_holds_no_sample_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png", "cat/a.gif", "cat/b.txt", "dog/.DS_Store", "dog/._1.png", "loose.png")
    touch(tmp_path, ".git/x.png", "__MACOSX/cat/1.png", "cat/.ipynb_checkpoints/1.png", "README.md", "dog/Thumbs.db")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    listing = list_images(tmp_path)
    assert names(listing, tmp_path)["all"] == ["cat/1.png", "dog/1.png"]
    assert listing.left_out.paths == {
        "hidden": [
            ".git", "__MACOSX", "cat/.ipynb_checkpoints", "dog/.DS_Store", "dog/._1.png", "dog/Thumbs.db",
        ],
        "not images": ["README.md", "cat/a.gif", "cat/b.txt"],
        "broken links": ["dog/gone.png"],
        "outside the class folders": ["loose.png"],
    }  # fmt: skip
    assert "hidden: 6 (.git, __MACOSX, cat/.ipynb_checkpoints, ...)" in listing.left_out.summary()


def test_a_link_back_to_the_data_set_brings_no_images_of_other_classes(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", "train/cat/1.png", "train/dog/2.png")
    touch(tmp_path / "far", "3.png")
    (data / "train" / "dog" / "back").symlink_to(data)
    (data / "train" / "fox").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(data / "train")
    listing = list_images(data)
    assert names(listing, data) == {"train": ["train/cat/1.png", "train/dog/2.png", "train/fox/3.png"]}
    assert listing.left_out.summary() == (
        "links to folders that are listed already: 2 (train/dog/back, train/fox/back)"
    )


def test_linked_files_and_folders_count_and_circles_end(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "cats/1.png", "2.png")
    data = touch(tmp_path / "data", "dog/1.png")
    (data / "cat").symlink_to(tmp_path / "elsewhere" / "cats")
    (data / "dog" / "2.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (data / "dog" / "circle").symlink_to(data / "dog")
    assert names(list_images(data), data)["all"] == ["cat/1.png", "dog/1.png", "dog/2.png"]


def test_class_names_are_composed_unicode_whatever_the_disk_says(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Äpfel")
    listing = list_images(
        touch(tmp_path, f"train/{decomposed}/1.png", "train/梨/1.png", "val/Äpfel/1.png", "val/梨/1.png")
    )
    assert list(listing.parts["train"]) == list(listing.parts["val"]) == ["Äpfel", "梨"]


def test_two_folders_for_one_class_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "Äpfel/1.png", f"{unicodedata.normalize('NFD', 'Äpfel')}/1.png")
    with pytest.raises(DataError, match="found two folders for the class Äpfel"):
        list_images(tmp_path)


def test_a_class_whose_name_is_not_unicode_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png")
    os.makedirs(os.path.join(os.fsencode(tmp_path), b"d\xff"))
    with pytest.raises(DataError, match=r"whose name is not valid Unicode; rename its folder"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r": found no images in class folders; allowed: CLASS/\*\.png, or .*; set data\.path in the recipe"),
        (["1.png", "2.png"], r"found no images in class folders \(left out: outside the class folders: 2 \(1"),
        (["cat/a.gif", "dog/b.heic"], r"no images in class folders \(left out: not images: 2 \(cat/a.gif"),
        (["cat/1.png"], "found one class, cat, expected at least two"),
        (
            ["pets/cat/1.png", "pets/dog/1.png"],
            r"found one class, pets, .*; give .*pets as the data set's folder if its",
        ),
        (["pets/train/cat/1.png"], r"train: found a part inside the class folder pets; .*; give .*pets as the data"),
        (["cat/train/1.png", "dog/1.png"], r"cat/train: found a part inside the class folder cat; allowed: "),
        (["test/cat/1.png", "test/dog/1.png"], "found test without train; allowed: CLASS"),
        (["val/cat/1.png", "test/cat/1.png"], "found val and test without train; allowed: CLASS"),
        (["train/1.png", "val/1.png"], r"train: found images \(1\.png\) and no class folders; expected train/CLASS/"),
        (["train/1.png", "car/1.png"], "found images in train and in car: train is a part or a class; allowed"),
        (["train/cat/1.png", "cat/1.png", "dog/1.png"], "found images in train and in cat, dog: train is a part or"),
        (["train/cat/1.png", "Train/dog/1.png"], "found Train and train for one part; merge or rename one"),
        (["train/cat/1.png", "val/cat/1.png", "valid/cat/1.png"], "found val and valid for one part"),
    ],
)
def test_a_layout_without_one_meaning_is_refused_with_what_was_found(
    tmp_path: Path, files: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as info:
        list_images(touch(tmp_path, *files))
    assert "\n" not in str(info.value)


def test_other_folders_beside_several_parts_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{label}/1.png" for part in ("train", "val") for label in ("cat", "dog")))
    listing = list_images(touch(tmp_path, "unlabelled/1.png", "annotations/1.xml"))
    assert set(listing.parts) == {"train", "val"}
    assert listing.left_out.summary() == "other folders: 1 (unlabelled)"


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:  # pytest removes tmp_path with os.scandir before monkeypatch itself ends
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(DataError, match=r"dog: cannot be read: Permission denied"):
            list_images(tmp_path)


def test_listing_imports_no_torch() -> None:
    code = "import sys; import zoo.data.image_files; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize(
    "name",
    [".ipynb_checkpoints", "__pycache__", "__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN", "System Volume Information",
     "lost+found", ".Trash-1000"],
)  # fmt: skip
def test_folders_of_tools_and_systems_are_no_classes(tmp_path: Path, name: str) -> None:
    listing = list_images(touch(tmp_path, "cat/1.png", "dog/1.png", f"{name}/1.png", f"cat/{name}/2.png"))
    assert names(listing, tmp_path) == {"all": ["cat/1.png", "dog/1.png"]}
    assert sorted(listing.left_out.paths["hidden"]) == sorted([name, f"cat/{name}"])


@pytest.mark.parametrize("name", ["._1.png", ".DS_Store", "Thumbs.db", "thumbs.db", "ehthumbs.db", "Desktop.ini"])
def test_files_of_systems_are_no_images(tmp_path: Path, name: str) -> None:
    listing = list_images(touch(tmp_path, "cat/1.png", "dog/1.png", f"cat/{name}"))
    assert listing.left_out.summary() == f"hidden: 1 (cat/{name})"


def test_a_link_to_a_listed_folder_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    listing = list_images(tmp_path)
    assert names(listing, tmp_path) == {"all": ["cat/1.png", "dog/1.png"]}
    assert listing.left_out.summary() == "links to folders that are listed already: 1 (cat/again)"
