"""Judges the images of a folder before training: names every fault at once, or leaves the faulty ones out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from zoo.config.data import OnError
from zoo.data.image_checks import check_images, is_picture
from zoo.data.image_files import Listing
from zoo.data.tally import FAULTS_FIX, FAULTS_NAMED, Tally
from zoo.utils.errors import DataError

Classes = dict[str, list[str]]
Parts = dict[str, Classes]

_COMPARED_LIMIT = 256 * 2**20
"""Bytes of files of equal size that are compared to find duplicates."""


def examine(listing: Listing, folder: Path, on_error: OnError) -> tuple[Listing, Tally]:
    """Return the images that can be used, and notes on those that are unusual.

    ``stop`` raises DataError, which names all faults: files that are not images or damaged, classes without images in
    a part, classes that the training part does not have. ``skip`` leaves these out, and decodes every image to find
    them. Raises DataError if fewer than two classes remain, or no test image.
    """
    parts, faults, notes = _sound(listing.parts, folder, decode=on_error == "skip")
    first = next(iter(parts))  # the training part
    missing = _missing_classes(parts, first)
    for place in missing:
        faults.add("classes without images", place)
    trained = {name for name, paths in parts[first].items() if paths}
    for part, classes in parts.items():
        for name in sorted(classes.keys() - trained) if part != first else ():
            unknown = name not in parts[first]
            faults.add(f"classes that {first} {'does not have' if unknown else 'has no images of'}", f"{part}/{name}")
    left = listing.left_out
    _name_pictures(left, folder)
    if faults.paths and on_error == "stop":
        ignored = f" (left out: {left.summary()})" if left.paths else ""
        raise DataError(f"{folder}: found {faults.summary(FAULTS_NAMED)}{ignored}; {FAULTS_FIX}")
    kept = {part: {name: classes.get(name, []) for name in sorted(trained)} for part, classes in parts.items()}
    _check_rest(kept, folder, faults)
    return Listing(kept, listing.nested, Tally({**left.paths, **faults.paths})), notes


def note_duplicates(notes: Tally, folder: Path, train: Sequence[str], others: Sequence[str]) -> None:
    """Note the files among ``others`` whose content is that of a training file.

    Files of equal size are compared, as long as they have at most 256 MiB in all.
    """
    sizes: dict[int, tuple[list[str], list[str]]] = {}
    for group, paths in enumerate((train, others)):
        for path in paths:
            sizes.setdefault(os.path.getsize(path), ([], []))[group].append(path)
    shared = {size: pair for size, pair in sizes.items() if all(pair)}
    if sum(size * (len(ours) + len(theirs)) for size, (ours, theirs) in shared.items()) > _COMPARED_LIMIT:
        return
    for _, (ours, theirs) in sorted(shared.items()):
        known = {_digest(path) for path in ours}
        for path in sorted(theirs):
            if _digest(path) in known:
                notes.add("in validation or test and also in training", os.path.relpath(path, folder))


def note_contradictions(notes: Tally, folder: Path, samples: Sequence[tuple[str, int]]) -> None:
    """Note the files whose content a file of another class has; ``samples`` are files with their class numbers.

    Files of equal size are compared, as long as they have at most 256 MiB in all.
    """
    sizes: dict[int, list[tuple[str, int]]] = {}
    for path, label in samples:
        sizes.setdefault(os.path.getsize(path), []).append((path, label))
    shared = {size: found for size, found in sizes.items() if len({label for _, label in found}) > 1}
    if sum(size * len(found) for size, found in shared.items()) > _COMPARED_LIMIT:
        return
    for _, found in sorted(shared.items()):
        labels: dict[bytes, set[int]] = {}
        digests = [_digest(path) for path, _ in found]
        for digest, (_, label) in zip(digests, found, strict=True):
            labels.setdefault(digest, set()).add(label)
        for digest, (path, _) in zip(digests, found, strict=True):
            if len(labels[digest]) > 1:
                notes.add("with the content of a file of another class", os.path.relpath(path, folder))


def decode_files(paths: Sequence[str], folder: Path) -> Tally:
    """Decode image files and return the faulty ones by the kind of fault."""
    faults = Tally()
    for path, found in zip(paths, check_images(paths, decode=True), strict=True):
        if found.fault is not None:
            faults.add(found.fault, _named(path, folder, found.detail))
    return faults


def _sound(parts: Parts, folder: Path, decode: bool) -> tuple[Parts, Tally, Tally]:
    """Return the parts without faulty files, the faults, and notes on the other files."""
    faults, notes = Tally(), Tally()
    paths = [path for classes in parts.values() for images in classes.values() for path in images]
    faulty = set()
    for path, found in zip(paths, check_images(paths, decode), strict=True):
        if found.fault is not None:
            faulty.add(path)
            faults.add(found.fault, _named(path, folder, found.detail))
        for note in found.notes:
            notes.add(note, os.path.relpath(path, folder))

    def keep(classes: Classes) -> Classes:
        return {name: [path for path in images if path not in faulty] for name, images in classes.items()}

    return {part: keep(classes) for part, classes in parts.items()}, faults, notes


def _missing_classes(parts: Parts, first: str) -> list[str]:
    """Return the classes of the training part that a part has no images of."""
    return [
        name if part == "all" else f"{part}/{name}"
        for part, classes in parts.items()
        for name in parts[first]
        if not classes.get(name)
    ]


def _check_rest(parts: Parts, folder: Path, faults: Tally) -> None:
    """Raise DataError if what remains cannot be used."""
    first = next(iter(parts))
    for part, classes in parts.items():
        place = folder if part == "all" else folder / part
        if part == first and len(classes) < 2:
            raise DataError(f"{place}: found {len(classes)} classes with images, expected at least two "
                            f"(left out: {faults.summary()})")  # fmt: skip
        if not any(classes.values()):
            raise DataError(f"{place}: no image can be used (left out: {faults.summary()})")


def _name_pictures(left: Tally, folder: Path) -> None:
    """Move files that hold images from the reason "not images" to one of their own."""
    for path in left.paths.pop("not images", []):
        left.add("images whose extension is not read" if is_picture(str(folder / path)) else "not images", path)


def _named(path: str, folder: Path, detail: str) -> str:
    name = os.path.relpath(path, folder)
    return f"{name}: {detail}" if detail else name


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.blake2b(file.read(), digest_size=16).digest()
