"""Converts encoded images and PIL images to the pixels of a model's input. The only module of sdk that imports PIL."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sdk.errors import InputError
from sdk.sources import is_url, read_file, read_url
from sdk.validation import describe

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "DIB", "TIFF", "WEBP", "JPEG2000")
"""Formats that are read, besides AVIF where Pillow has it. Others, such as PostScript, may run programs."""
PIXEL_LIMIT = 2**27
"""Most pixels of an encoded image, 134 million."""
RESIZE_LIMIT = 2**16
"""Largest length, in pixels, that the shorter side is resized to."""
_RESIZED_LIMIT = 2**24
"""Most pixels of a resized image that is computed whole before its centre is cropped."""
_BAND = 2**20
"""Pixels that are converted at once, where the steps in between take more memory than the result."""
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(source: Any, shape: tuple[int, ...], resize: int | None) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 ``[C, H, W]`` for ``shape`` C, H, W.

    ``source`` is a path, a URL (http, https or data), bytes, a binary file object or a PIL image.

    The shorter side is resized to ``resize`` pixels (None: the smallest that covers ``[H, W]``), then the centre is
    cropped, as torchvision's ``Resize`` (bilinear) and ``CenterCrop`` do with PIL images. Raises InputError for a
    source that is missing or not an image in one of FORMATS, for more than PIXEL_LIMIT pixels, for pixel values without
    a fixed range, and unless C is 1 or 3 and ``resize`` at most RESIZE_LIMIT.
    """
    channels, height, width = shape
    if resize is not None and resize > RESIZE_LIMIT:
        raise InputError(f"input resize {resize}: allowed are at most {RESIZE_LIMIT:,} pixels")
    image = decode_picture(source, channels)
    with _reading(source):
        pixels = np.asarray(_fit(image, height, width, resize))
    return np.ascontiguousarray(np.moveaxis(pixels.reshape(height, width, channels), -1, 0))


def decode_picture(source: Any, channels: int) -> Image.Image:
    """Return an image at its own size, upright, in mode L for 1 or RGB for 3 channels.

    Sources and errors are those of :func:`read_picture`.
    """
    if channels not in _MODES:
        raise InputError(f"files and PIL images give 1 or 3 channels, the model takes {channels}; pass an array")
    if isinstance(source, Image.Image):
        with _reading(source):
            return _convert(source, _MODES[channels])
    with open_picture(source) as image:
        return _convert(image, _MODES[channels])


@contextmanager
def open_picture(source: Any) -> Iterator[Image.Image]:
    """Open an encoded image without decoding it, so that its header can be read.

    Raises as :func:`read_picture`; an error inside the ``with`` block is taken for the decoder's.
    """
    file = _encoded(source)
    with _reading(source), Image.open(file, formats=_formats()) as image:
        pixels = image.width * image.height
        if pixels > PIXEL_LIMIT:
            raise InputError(
                f"{_name(source)} has {image.width:,} x {image.height:,} pixels, allowed are at most "
                f"{PIXEL_LIMIT:,} in all; make the image smaller"
            )
        yield image


def orientation(image: Image.Image) -> int:
    """Return the orientation by an image's EXIF data: 1 to 8, where 1 is upright and above 4 turned by 90 degrees.

    Decodes a PNG without EXIF data in front of its pixels.
    """
    found = image.getexif().get(_ORIENTATION)
    return found if isinstance(found, int) and found in _UPRIGHT else 1


@contextmanager
def _reading(source: Any) -> Iterator[None]:
    """Raise InputError, which names the source, for anything that a decoder raises."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{_name(source)} is not a readable image; allowed formats: {', '.join(_formats())}") from None
    except MemoryError:
        raise InputError(f"cannot read {_name(source)} as an image: there is not enough memory") from None
    except Exception as error:  # decoders raise whatever their parsing stumbles over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"cannot read {_name(source)} as an image: {reason}") from error


@functools.cache  # the question takes a seventh of the time of a small image
def _formats() -> tuple[str, ...]:
    return (*FORMATS, "AVIF") if find_spec("PIL.AvifImagePlugin") else FORMATS


def _name(source: Any) -> str:
    if isinstance(source, Image.Image):
        return f"{source.mode} image"
    if isinstance(source, str) and is_url(source):
        return describe(source)
    if isinstance(source, (str, os.PathLike)):
        return repr(os.fspath(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"the content of {len(source):,} bytes"
    return f"the file object {describe(getattr(source, 'name', source))}"


def _encoded(source: Any) -> Path | BytesIO:
    """Return the file of an image, or its content."""
    if isinstance(source, str) and is_url(source):
        return BytesIO(read_url(source))
    if isinstance(source, (str, os.PathLike)):
        return _existing(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesIO(source)
    with _reading(source):
        return BytesIO(read_file(source))


def _existing(source: str | os.PathLike[str]) -> Path:
    if not os.fspath(source):
        raise InputError("found '', allowed the path of an image")
    path = Path(source)
    with _reading(source):
        folder, exists, regular = path.is_dir(), path.exists(), path.is_file()
    if folder:
        raise InputError(f"{str(path)!r} is a folder; pass the image files in it")
    if not exists:
        raise InputError(f"no such file: {str(path)!r}")
    if not regular:
        raise InputError(f"{str(path)!r} is not a regular file")
    return path


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Return the image upright and in a mode, L or RGB."""
    # Pillow before 11 opens 16-bit PNGs as mode I; any other mode I image has no fixed range.
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode == "I" and not sixteen:
        raise InputError("32-bit integer images have no fixed range; convert to mode L, I;16, or F in [0, 1]")
    if not (image.width and image.height):
        raise InputError(f"found an image of {image.width} x {image.height} pixels, which has none")
    image.load()
    turn = _UPRIGHT.get(orientation(image))  # some formats, such as TIFF, are turned by loading them
    upright = image if turn is None else image.transpose(turn)
    if sixteen or image.mode == "F":
        upright = _to_eight_bits(upright, 65535 if sixteen else 1)
    flat = _flatten(upright)
    return flat if flat.mode == mode else flat.convert(mode)


def _to_eight_bits(image: Image.Image, brightest: int) -> Image.Image:
    """Convert grey values from 0 to ``brightest`` to mode L."""
    values = np.asarray(image)
    grey: NDArray[np.uint8] = np.empty(values.shape, np.uint8)
    for top, bottom in _bands(image):
        band = values[top:bottom].astype(np.float64) / brightest
        if not (band.size and band.min() >= 0 and band.max() <= 1):
            raise InputError(
                f"a mode {image.mode} image must have values in [0, 1]; divide by the largest possible value"
            )
        grey[top:bottom] = np.round(band * 255)
    return Image.fromarray(grey)


def _flatten(image: Image.Image) -> Image.Image:
    """Composite transparent parts on black, or on white if all that is visible is dark, such as black ink.

    PIL can convert the result to L and RGB.
    """
    if image.mode == "HSV":  # PIL cannot convert it to grey directly
        return image.convert("RGB")
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    background = 255 if _is_dark(image) else 0
    flat = Image.new("RGB", image.size)
    for top, bottom in _bands(image):
        flat.paste(_composite(image, top, bottom, background), (0, top))
    return flat


def _is_dark(image: Image.Image) -> bool:
    """Return True if an image with transparent parts shows something, and all of it is darker than mid-grey."""
    brightest, darkest = 0, 255
    for top, bottom in _bands(image):
        brightest = max(brightest, np.asarray(_composite(image, top, bottom, 0).convert("L")).max())
        if brightest >= 128:
            return False
        darkest = min(darkest, np.asarray(_composite(image, top, bottom, 255).convert("L")).min())
    return darkest < 255


def _composite(image: Image.Image, top: int, bottom: int, grey: int) -> Image.Image:
    """Composite rows of an image on a uniform grey in 0..255."""
    rows = image if (top, bottom) == (0, image.height) else image.crop((0, top, image.width, bottom))
    rows = rows.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rows.size, (grey, grey, grey, 255)), rows).convert("RGB")


def _bands(image: Image.Image) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row, exclusive, of bands of about _BAND pixels."""
    rows = max(1, _BAND // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, min(top + rows, image.height)


def _fit(image: Image.Image, height: int, width: int, shorter: int | None) -> Image.Image:
    """Resize the shorter side to ``shorter``, or just cover height x width, and crop the centre.

    The cost is bounded by the sizes of the image and the crop, whatever its aspect ratio.
    """
    w, h = image.size
    if shorter is None:
        shorter = height if w * height >= h * width else width
        short_side = h if w * height >= h * width else w
    else:
        short_side = min(w, h)
    size = (max(width, int(shorter * w / short_side)), max(height, int(shorter * h / short_side)))
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    if size[0] * size[1] > max(_RESIZED_LIMIT, w * h):
        return _resize_part(image, size, (left, top, left + width, top + height))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return image.crop((left, top, left + width, top + height))


def _resize_part(image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Return the part ``box`` of the image resized to ``size``, computed from the pixels that the part depends on.

    It equals the part of the whole resized image up to rounding.
    """
    start, stop = [0, 0], [0, 0]
    source = [0.0] * 4
    for axis in (0, 1):
        scale = image.size[axis] / size[axis]
        low, high = box[axis] * scale, box[axis + 2] * scale
        reach = max(1.0, scale) + 1  # of the bilinear filter, and a pixel for rounding
        start[axis] = max(0, math.floor(low - reach))
        stop[axis] = min(image.size[axis], math.ceil(high + reach))
        # Relative to the cut-out part: Pillow takes the numbers in single precision.
        source[axis] = low - start[axis]
        source[axis + 2] = min(high, stop[axis]) - start[axis]
    part = image.crop((start[0], start[1], stop[0], stop[1]))
    target = (box[2] - box[0], box[3] - box[1])
    return part.resize(target, Image.Resampling.BILINEAR, box=(source[0], source[1], source[2], source[3]))
