"""Finds the images of an image folder: its parts, its classes, and the files that are left out. Imports no torch."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.data.tally import Tally, first_of
from zoo.utils.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes of images, in lower case; those of torchvision's ImageFolder."""
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of each part's folder, in lower case."""
FIX = "set data.path in the recipe or pass --data-dir FOLDER"
LAYOUTS = "allowed: CLASS/*.png, or train/CLASS/*.png with val/ and test/ as you like"
_PART_NAMES = frozenset(name for names in PARTS.values() for name in names)
_SYSTEM_NAMES = frozenset(
    {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "lost+found", "system volume information", "thumbs.db",
     "ehthumbs.db", "desktop.ini"}
)  # fmt: skip
"""Files and folders of operating systems and tools, in lower case."""


@dataclass(frozen=True)
class Listing:
    """The images of a data set's folder: by part (``train``, ``val``, ``test``, or ``all`` for one part), by class."""

    parts: dict[str, dict[str, list[str]]]
    nested: int
    """Number of images that are in a subfolder of their class's folder."""
    left_out: Tally
    """Paths that hold no sample, relative to the data set's folder."""


def list_images(folder: Path) -> Listing:
    """List the images in ``folder`` in the order of torchvision's ImageFolder.

    Classes may be empty, and parts may have different ones: :mod:`zoo.data.faults` judges that. Raises DataError for a
    folder that is missing, cannot be read or whose layout has more than one meaning, for fewer than two classes, and
    for a part without images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: found no folder, expected a folder of images ({LAYOUTS}); {FIX}")
    scan = _Scan(folder)
    try:
        parts = {part: scan.classes(path) for part, path in scan.parts().items()}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    _check_classes(folder, parts, scan)
    return Listing(parts, scan.nested, scan.left_out)


class _Scan:
    """One walk over a data set's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_out = Tally()
        self.nested = 0

    def parts(self) -> dict[str, Path]:
        """Return the folder of each part, ``train`` first; ``{"all": folder}`` if the classes are in the folder."""
        names = [entry.name for entry in _visible(self.folder) if entry.is_dir()]
        named = {part: [name for name in names if name.lower() in PARTS[part]] for part in PARTS}
        found = {part: self.folder / several[0] for part, several in named.items() if several}
        twice = next((several for several in named.values() if len(several) > 1), None)
        if twice:
            raise DataError(f"{self.folder}: found {' and '.join(twice)} for one part; merge or rename one of them")
        if not found:
            return {"all": self.folder}
        if "train" not in found:
            listed = " and ".join(path.name for path in found.values())
            raise DataError(f"{self.folder}: found {listed} without train; {LAYOUTS}")
        others = [name for name in names if self.folder / name not in found.values() and self._holds_images(name)]
        if others and len(found) == 1:
            raise DataError(
                f"{self.folder}: found images in train and in {first_of(others)}: train is a part or a class; "
                f"{LAYOUTS}; move the other folders away, or rename train"
            )
        for name in others:
            self.left_out.add("other folders", name)
        for part, path in found.items():
            self._check_part(part, path)
        return found

    def _check_part(self, part: str, path: Path) -> None:
        entries = _visible(path)
        loose = [entry.name for entry in entries if _is_image(entry.name)]
        if loose and not any(entry.is_dir() for entry in entries):
            raise DataError(
                f"{path}: found images ({first_of(loose)}) and no class folders; expected {part}/CLASS/; "
                f"if {path.name} is a class, rename it"
            )

    def _holds_images(self, name: str) -> bool:
        return any(_is_image(entry.name) for _, entries in _walk(self.folder / name, set()) for entry in entries)

    def classes(self, part: Path) -> dict[str, list[str]]:
        """Return the images of each class, by the class's name in Unicode's composed form, sorted."""
        found: dict[str, list[str]] = {}
        for entry in _sorted_entries(part):
            if _is_hidden(entry.name) or not entry.is_dir():
                self._leave_out(entry, "outside the class folders")
                continue
            name = unicodedata.normalize("NFC", entry.name)
            if not _is_writable(name):
                raise DataError(f"{part}: found the class {name!r}, whose name is not valid Unicode; rename its folder")
            if name in found:
                raise DataError(f"{part}: found two folders for the class {name}; rename one of them")
            found[name] = self._images(Path(entry.path))
        return dict(sorted(found.items()))

    def _images(self, folder: Path) -> list[str]:
        images: list[str] = []
        # A link back to a folder around this one would bring in the images of the other classes.
        around = {*Path(os.path.realpath(folder)).parents, *Path(os.path.realpath(folder.parent), "-").parents}
        walked = _walk(folder, set(map(str, around)), self._seen_twice)
        for root, entries in sorted(walked, key=lambda found: found[0]):
            if root != str(folder) and os.path.basename(root).lower() in _PART_NAMES:
                raise DataError(
                    f"{root}: found a part inside the class folder {folder.name}; {LAYOUTS}; "
                    f"give {folder} as the data set's folder if its folders are the parts"
                )
            for entry in entries:
                if _is_image(entry.name) and not (entry.is_symlink() and not os.path.exists(entry.path)):
                    images.append(entry.path)
                    self.nested += root != str(folder)
                else:
                    self._leave_out(entry, "broken links")
        return images

    def _seen_twice(self, folder: str) -> None:
        self.left_out.add("links to folders that are listed already", os.path.relpath(folder, self.folder))

    def _leave_out(self, entry: os.DirEntry[str], image_reason: str) -> None:
        path = os.path.relpath(entry.path, self.folder)
        if _is_hidden(entry.name):
            self.left_out.add("hidden", path)
        else:
            self.left_out.add(image_reason if _is_image(entry.name) else "not images", path)


def _walk(
    folder: Path, visited: set[str], again: Callable[[str], None] = lambda folder: None
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield every folder below ``folder``, itself included, with its sorted files and hidden folders.

    Links are followed, each to a folder that was not visited yet, so that a circle ends; others are given to ``again``.
    """
    real = os.path.realpath(folder)
    if real in visited:
        again(str(folder))
        return
    visited.add(real)
    listed = _sorted_entries(folder)
    inner = [entry for entry in listed if entry.is_dir() and not _is_hidden(entry.name)]
    yield str(folder), [entry for entry in listed if not entry.is_dir() or _is_hidden(entry.name)]
    for entry in inner:
        yield from _walk(Path(entry.path), visited, again)


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in _sorted_entries(folder) if not _is_hidden(entry.name)]


def _check_classes(folder: Path, parts: dict[str, dict[str, list[str]]], scan: _Scan) -> None:
    """Raise DataError for a part without images, and for a training part without two classes."""
    for part, classes in parts.items():
        where = folder if part == "all" else folder / part
        left = scan.left_out.summary()
        rest = f" (left out: {left})" if left else ""
        if not any(classes.values()):
            raise DataError(f"{where}: found no images in class folders{rest}; {LAYOUTS}; {FIX}")
        if len(classes) < 2 and part in ("all", "train"):
            only = next(iter(classes))
            fix = (
                f"; give {where / only} as the data set's folder if its folders are the classes" if scan.nested else ""
            )
            raise DataError(f"{where}: found one class, {only}, expected at least two{rest}; {LAYOUTS}{fix}")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def _is_writable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(EXTENSIONS)
