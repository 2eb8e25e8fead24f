"""Recognises the forms of an input: encoded images, arrays in any layout, and nested lists of numbers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.errors import InputError
from sdk.rows import as_numpy
from sdk.validation import describe


def is_encoded(item: Any) -> bool:
    """Return True for whatever :func:`sdk.images.read_picture` takes."""
    pil = sys.modules.get("PIL.Image")  # a caller that holds a PIL image has imported PIL
    if isinstance(item, (str, os.PathLike, bytes, bytearray, memoryview)):
        return True
    return (pil is not None and isinstance(item, pil.Image)) or (
        hasattr(item, "read") and not hasattr(item, "__array__")
    )


def holds_numbers(values: Sequence[Any]) -> bool:
    """Return True if nested lists bottom out in plain numbers, so that they spell out one array."""
    leaf: Any = values
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    return isinstance(leaf, (Number, np.bool_))


def as_array(item: Any, wanted: str) -> NDArray[Any]:
    """Return an array, tensor, number or nested list of numbers as an array; raises InputError for anything else."""
    if isinstance(item, (list, tuple)):
        known = holds_numbers(item)
    else:
        known = isinstance(item, (Number, np.bool_)) or hasattr(item, "__array__")
    if not known:
        raise InputError(f"found {type(item).__name__} {describe(item)}; the model takes {wanted}")
    return as_numpy(item)


def image_rows(array: NDArray[Any], shape: tuple[int, ...]) -> tuple[NDArray[Any], bool]:
    """Return the images of an array as ``[B, C, H, W]`` for ``shape`` C, H, W, and True if it is one image.

    Where two layouts fit, channels come first. Raises InputError for a type without range and for another shape.
    """
    if array.dtype.kind in "OUS":
        raise InputError(f"an array of {array.dtype} holds no pixels; pass a list of paths, images or arrays")
    if array.dtype != np.uint8 and array.dtype.kind not in "bf":
        raise InputError(f"arrays of {array.dtype} have no fixed range; use uint8 (0..255) or floats in [0, 1]")
    c, h, w = shape
    if array.shape == (c, h, w):
        return array[None], True
    if array.shape == (h, w, c):
        return np.moveaxis(array, -1, 0)[None], True
    if array.shape == (h, w) and c == 1:
        return array[None, None], True
    if array.ndim == 4 and array.shape[1:] == (c, h, w):
        return array, False
    if array.ndim == 4 and array.shape[1:] == (h, w, c):
        return np.moveaxis(array, -1, 1), False
    if array.ndim == 3 and array.shape[1:] == (h, w) and c == 1:
        return array[:, None], False
    allowed = [f"[{c}, {h}, {w}]", f"[{h}, {w}, {c}]"] + [f"[{h}, {w}]"] * (c == 1)
    raise InputError(
        f"wrong shape {list(array.shape)}; the model takes {', '.join(allowed)}, each also with a batch axis first"
    )


def fits_one_and_batch(inputs: Any, shape: tuple[int, ...]) -> bool:
    """Return True for an array ``[1, H, W]`` of a grey model: one image with its channel, or a batch of one without.

    Both readings have the same values. Every other form is either one input or a batch.
    """
    if len(shape) != 3 or shape[0] != 1 or is_encoded(inputs):
        return False
    if not isinstance(inputs, (list, tuple)):
        return tuple(getattr(inputs, "shape", ())) == shape
    try:
        found: tuple[int, ...] = np.shape(inputs) if holds_numbers(inputs) else ()
    except ValueError:  # lists of different lengths
        return False
    return found == shape
