"""Converts encoded images and PIL images to the pixels of a model's input. The only module of sdk that imports PIL."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sdk.errors import InputError
from sdk.sources import is_url, read_file, read_url
from sdk.validation import describe

_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_MODES = {1: "L", 3: "RGB"}


def read_picture(source: Any, shape: tuple[int, ...], resize: int | None) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 ``[C, H, W]`` for ``shape`` C, H, W.

    ``source`` is a path, a URL (http, https or data), bytes, a binary file object or a PIL image.

    The shorter side is resized to ``resize`` pixels (None: the smallest that covers ``[H, W]``), then the centre is
    cropped, as torchvision's ``Resize`` (bilinear) and ``CenterCrop`` do with PIL images. Raises InputError for a
    source that is missing or not an image, for pixel values without a fixed range, and unless C is 1 or 3.
    """
    channels, height, width = shape
    if channels not in _MODES:
        raise InputError(f"files and PIL images give 1 or 3 channels, the model takes {channels}; pass an array")
    try:
        image = source if isinstance(source, Image.Image) else _open(source)
        image = _flatten(_to_eight_bits(image)).convert(_MODES[channels])
    except UnidentifiedImageError:
        raise InputError(f"{_name(source)} is not a readable image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read the image {_name(source)}: {error}") from error
    pixels = np.asarray(_crop(_resize(image, height, width, resize), height, width))
    return np.ascontiguousarray(np.moveaxis(pixels.reshape(height, width, channels), -1, 0))


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


def _open(source: Any) -> Image.Image:
    """Open and decode an image from anything but a PIL image."""
    if isinstance(source, str) and is_url(source):
        return _load(BytesIO(read_url(source)))
    if isinstance(source, (str, os.PathLike)):
        return _load(_existing(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _load(BytesIO(source))
    return _load(BytesIO(read_file(source)))


def _load(file: Path | BytesIO) -> Image.Image:
    image: Image.Image
    with Image.open(file) as image:
        image.load()
    return image


def _existing(source: str | os.PathLike[str]) -> Path:
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder; pass the image files in it")
    if not path.exists():
        raise InputError(f"no such file: {str(path)!r}")
    if not path.is_file():
        raise InputError(f"{str(path)!r} is not a regular file")
    return path


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Rotate an image upright by its EXIF tag, and convert grey of more than eight bits to mode L."""
    # Pillow before 11 opens 16-bit PNGs as mode I; any other mode I image has no fixed range.
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    upright = ImageOps.exif_transpose(image)
    if sixteen:
        values = np.asarray(upright).astype(np.float64) / 65535
    elif image.mode == "F":
        values = np.asarray(upright).astype(np.float64)
    elif image.mode == "I":
        raise InputError("32-bit integer images have no fixed range; convert to mode L, I;16, or F in [0, 1]")
    else:
        return upright
    if not (values.size and values.min() >= 0 and values.max() <= 1):
        raise InputError(f"a mode {image.mode} image must have values in [0, 1]; divide by the largest possible value")
    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def _flatten(image: Image.Image) -> Image.Image:
    """Composite transparent parts on black, or on white if all that is visible is dark, such as black ink.

    PIL can convert the result to L and RGB.
    """
    if image.mode == "HSV":  # PIL cannot convert it to grey directly
        return image.convert("RGB")
    if image.mode not in _ALPHA_MODES and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    on_black, on_white = (_composite(image, background) for background in (0, 255))
    brightest, darkest = np.asarray(on_black.convert("L")).max(), np.asarray(on_white.convert("L")).min()
    return on_white if brightest < 128 and darkest < 255 else on_black


def _composite(image: Image.Image, grey: int) -> Image.Image:
    """Composite an RGBA image on a uniform grey in 0..255."""
    return Image.alpha_composite(Image.new("RGBA", image.size, (grey, grey, grey, 255)), image).convert("RGB")


def _resize(image: Image.Image, height: int, width: int, shorter: int | None) -> Image.Image:
    """Resize the shorter side to ``shorter``, or just cover height x width, and keep the aspect ratio."""
    w, h = image.size
    if shorter is None:
        shorter = height if w * height >= h * width else width
        short_side = h if w * height >= h * width else w
    else:
        short_side = min(w, h)
    size = (max(width, int(shorter * w / short_side)), max(height, int(shorter * h / short_side)))
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def _crop(image: Image.Image, height: int, width: int) -> Image.Image:
    w, h = image.size
    left, top = round((w - width) / 2), round((h - height) / 2)
    return image.crop((left, top, left + width, top + height))
