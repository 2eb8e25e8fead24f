"""How people's inputs become the tensor that training saw: the input spec of an artifact."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk.errors import InputError
from sdk.strict import check_keys, check_list, check_type, describe

FloatArray: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = "list[Any] | NDArray[Any]"

# Resampling a float image may overshoot the range by a few units of the last place.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class InputSpec:
    """What one input of a model is, and the arithmetic from raw values to the tensor the network takes."""

    kind: Literal["image", "table"]
    shape: tuple[int, ...]
    """One input without the batch: ``[C, H, W]`` for images, ``[features]`` for tables."""
    mean: tuple[float, ...]
    """Subtracted per channel (images, of values in [0, 1]) or per feature (tables, of raw values)."""
    std: tuple[float, ...]
    """Divided by after the mean is subtracted; positive."""
    resize: int | None = None
    """Shorter side in pixels of files and PIL images before the centre crop to ``[H, W]``.
    None: the smallest that covers ``[H, W]``."""

    def __post_init__(self) -> None:
        axes = {"image": 3, "table": 1}
        if self.kind not in axes:
            raise ValueError(f"input kind must be 'image' or 'table', found {describe(self.kind)}")
        if len(self.shape) != axes[self.kind] or any(n < 1 for n in self.shape):
            form = "[C, H, W]" if self.kind == "image" else "[features]"
            raise ValueError(f"input shape must be {form}, all positive, found {list(self.shape)}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.shape[0]:
                unit = "channel" if self.kind == "image" else "feature"
                raise ValueError(f"input {name} has {len(values)} values, one per {unit} is {self.shape[0]}")
        if not all(map(math.isfinite, self.mean)):
            raise ValueError(f"input mean must be finite, found {describe(list(self.mean))}")
        if not all(math.isfinite(s) and s > 0 for s in self.std):
            raise ValueError(f"input std must be finite and positive, found {describe(list(self.std))}")
        if self.resize is not None and self.kind != "image":
            raise ValueError(f"input resize is for images only, found {self.resize} for a table")
        if self.resize is not None and self.resize < max(self.shape[1:]):
            raise ValueError(f"input resize {self.resize} is smaller than the crop {list(self.shape[1:])}")

    def to_json(self) -> dict[str, Any]:
        """The ``input`` section of config.json; :meth:`from_json` reads it back."""
        statistics = {"mean": [float(v) for v in self.mean], "std": [float(v) for v in self.std]}
        return {"kind": self.kind, "shape": list(self.shape), **statistics, "resize": self.resize}

    @classmethod
    def from_json(cls, data: object) -> InputSpec:
        """Read the ``input`` section; raises ValueError naming a missing, unknown or wrongly typed field."""
        fields = check_keys(data, {"kind", "shape", "mean", "std"}, frozenset({"resize"}), "input")
        resize = fields.get("resize")
        return cls(
            kind=check_type(fields["kind"], str, "input kind"),
            shape=check_list(fields["shape"], int, "input shape"),
            mean=check_list(fields["mean"], float, "input mean"),
            std=check_list(fields["std"], float, "input std"),
            resize=None if resize is None else check_type(resize, int, "input resize"),
        )

    def prepare(self, inputs: Any) -> tuple[FloatArray, bool]:
        """Inputs as people have them -> (``float32 [B, *shape]``, whether it was one input, not a batch).

        Images are given as

        - a path or a PIL image of any mode and size: turned upright by its EXIF tag, composited on black
          where transparent, converted to the model's grey or RGB, resized and centre-cropped to ``[H, W]``;
        - an array (numpy, or anything with ``__array__`` such as a torch tensor) of uint8 in 0..255, bool, or
          floats in [0, 1], shaped ``[C, H, W]``, ``[H, W, C]``, ``[B, C, H, W]``, ``[B, H, W, C]``, and for
          one channel also ``[H, W]`` and ``[B, H, W]``;
        - a list or tuple of any of these.

        The spec's own layout wins where an array's shape fits two: channels come first if they can, and
        ``[1, H, W]`` is one grey image, not a batch of one (pass ``[1, 1, H, W]`` or a list for that).

        Tables are finite numbers ``[features]`` or ``[B, features]``, arrays or lists. An empty list or
        array of no rows is an empty batch. Raises :class:`InputError`.
        """
        rows, single = self._rows(inputs)
        return self._tensor(rows, 0), single

    def batches(self, inputs: Any, size: int) -> tuple[Iterator[FloatArray], bool]:
        """:meth:`prepare` a part at a time, so that a long list of files never lies in memory at once."""
        rows, single = self._rows(inputs)
        return (self._tensor(rows[i : i + size], i) for i in range(0, len(rows), size)), single

    def _rows(self, inputs: Any) -> tuple[Rows, bool]:
        """The inputs as something to slice: an array ``[B, *shape]`` of raw values, or a list of inputs."""
        if isinstance(inputs, (list, tuple)) and not _holds_numbers(inputs):
            return list(inputs), False
        return self._raw(inputs)

    def _tensor(self, rows: Rows, first: int) -> FloatArray:
        if isinstance(rows, np.ndarray):
            return self._normalise(rows)
        parts = [np.empty((0, *self.shape), np.float32)]
        for index, item in enumerate(rows, first):
            try:
                parts.append(self._normalise(self._raw(item)[0]))
            except InputError as error:
                raise InputError(f"input {index}: {error}") from error
        return np.concatenate(parts)

    def _raw(self, item: Any) -> tuple[NDArray[Any], bool]:
        """One input or one array of them -> raw values ``[B, *shape]`` and whether it was one."""
        if self.kind == "table":
            return self._table(_as_array(item, "numbers or an array"))
        pil = sys.modules.get("PIL.Image")  # whoever holds a PIL image has imported it
        if isinstance(item, (str, os.PathLike)) or (pil is not None and isinstance(item, pil.Image)):
            from sdk.images import read_picture

            return read_picture(item, self.shape, self.resize)[None], True
        return self._image(_as_array(item, "a path, a PIL image or an array"))

    def _table(self, array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        if array.dtype.kind not in "biuf":
            raise InputError(f"tables hold numbers, found an array of {array.dtype}")
        if array.shape[-1:] != self.shape or array.ndim > 2:
            n = self.shape[0]
            raise InputError(f"wrong shape {list(array.shape)}; the model takes [{n}] or [B, {n}]")
        return array.reshape(-1, *self.shape), array.ndim == 1

    def _image(self, array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        if array.dtype != np.uint8 and array.dtype.kind not in "bf":
            raise InputError(f"arrays of {array.dtype} have no fixed range; use uint8 (0..255) or floats in [0, 1]")
        c, h, w = self.shape
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

    def _normalise(self, raw: NDArray[Any]) -> FloatArray:
        """Raw values ``[B, *shape]`` -> ``(x - mean) / std`` in float32, the operations of training."""
        with np.errstate(over="ignore"):
            x = raw.astype(np.float32)
        if not np.isfinite(x).all():
            raise InputError("NaN or infinite values; the model takes finite numbers only")
        if self.kind == "image" and raw.dtype == np.uint8:
            x /= np.float32(255)
        elif self.kind == "image":
            _check_unit_range(x)
        per_channel = (-1,) + (1,) * (len(self.shape) - 1)
        x -= np.array(self.mean, np.float32).reshape(per_channel)
        x /= np.array(self.std, np.float32).reshape(per_channel)
        return np.ascontiguousarray(x)


def _holds_numbers(values: Sequence[Any]) -> bool:
    """Whether nested lists bottom out in plain numbers, so that they are one array written out."""
    leaf: Any = values
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    return isinstance(leaf, (Number, np.bool_))


def _as_array(item: Any, wanted: str) -> NDArray[Any]:
    if isinstance(item, (list, tuple)):
        known = _holds_numbers(item)
    else:
        known = isinstance(item, (Number, np.bool_)) or hasattr(item, "__array__")
    if not known:
        raise InputError(f"found {type(item).__name__} {describe(item)}; the model takes {wanted}")
    if hasattr(item, "detach") and hasattr(item, "cpu"):  # a tensor that may need gradients or lie on a device
        item = item.detach().cpu()
    try:
        return np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{type(item).__name__} is no array: {error}") from error


def _check_unit_range(x: FloatArray) -> None:
    if not x.size:
        return
    low, high = float(x.min()), float(x.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise InputError(
            f"float images have values in [0, 1], found {low:g} to {high:g}; divide by the largest value "
            "there can be (255 for bytes, 16 for scikit-learn's digits) or pass uint8, which means 0..255"
        )
