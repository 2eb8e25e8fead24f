"""Looks at image files before they are needed: at their headers and ends, or at all of their content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from sdk.errors import InputError
from sdk.images import decode_picture, open_picture, orientation

DECODE_LIMIT = 2**26
"""Pixels in all, 67 million, up to which a folder's images are always decoded; about a second."""
_SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".ppm": "PPM", ".pgm": "PPM", ".bmp": "BMP",
             ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}  # fmt: skip
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\x3b"}
"""Bytes that are near the end of a whole file."""
_TAIL = 64
"""Bytes in which they are searched, as some programs append a few of their own."""


@dataclass(frozen=True)
class Finding:
    """The result of a look at one file."""

    fault: str | None = None
    """The kind of fault; None for an image that can be used."""
    detail: str = ""
    """The decoder's words for the fault."""
    notes: tuple[str, ...] = ()
    """Properties that are worth a look, but allowed."""
    pixels: int = 0
    whole: bool = True
    """False if the file's end does not look like one; then only decoding tells."""


def check_images(paths: Sequence[str], decode: bool = False) -> list[Finding]:
    """Look at the headers and ends of image files; decode what looks cut off, and all if asked or if they are few."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(_look, paths, chunksize=16))
        everything = decode or sum(finding.pixels for finding in found) <= DECODE_LIMIT
        chosen = [i for i, one in enumerate(found) if one.fault is None and (everything or not one.whole)]
        for number, error in zip(chosen, pool.map(_decode, (paths[i] for i in chosen)), strict=True):
            if error is not None:
                found[number] = _fault(error)
    return found


def is_picture(path: str) -> bool:
    """Return True for a file that holds an image, whatever its name."""
    try:
        with open_picture(path):
            return True
    except InputError:
        return path.lower().endswith((".heic", ".heif"))  # photographs that Pillow does not read


def _look(path: str) -> Finding:
    try:
        with open_picture(path) as image:
            return Finding(
                notes=tuple(_notes(image, path)),
                pixels=image.width * image.height,
                whole=_looks_whole(path, image.format or ""),
            )
    except InputError as error:
        if os.path.isfile(path) and os.path.getsize(path) == 0:
            return Finding("empty files")
        return _fault(error)


def _decode(path: str) -> InputError | None:
    try:
        decode_picture(path, 3)
    except InputError as error:
        return error
    return None


def _fault(error: InputError) -> Finding:
    if "is not a readable image" in str(error):
        return Finding("not images")
    return Finding("damaged images", str(error.__cause__ or error).strip())


def _notes(image: Image.Image, path: str) -> Iterable[str]:
    if image.mode.startswith("I;16"):
        yield "16-bit"
    if image.mode in ("P", "PA"):
        yield "with a palette"
    # A PNG may hold its EXIF data behind the pixels, which only decoding reaches.
    if (image.format != "PNG" or "exif" in image.info) and orientation(image) > 1:
        yield "turned by EXIF"
    if getattr(image, "is_animated", False):
        yield "of several pictures, of which the first is used"
    expected = _SUFFIXES.get(os.path.splitext(path)[1].lower())
    if expected is not None and image.format not in (expected, "MPO"):
        yield "in another format than their name says"


def _looks_whole(path: str, form: str) -> bool:
    """Return True if a file's end is as its format wants it; False also for formats whose end says nothing."""
    with open(path, "rb") as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if form in _ENDS:
        return _ENDS[form] in tail
    if form == "WEBP":
        return size >= int.from_bytes(head[4:8], "little") + 8
    if form == "BMP":
        return size >= int.from_bytes(head[2:6], "little")
    return False
