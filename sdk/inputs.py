"""The input spec of an artifact: prepares files, images and arrays as the tensor that the network was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk.columns import Columns
from sdk.errors import AmbiguousInputWarning, InputError, give_warning
from sdk.forms import as_array, fits_one_and_batch, holds_numbers, image_rows, is_encoded
from sdk.rows import Rows
from sdk.tables import read_rows
from sdk.validation import check_keys, check_list, check_type, describe

FloatArray: TypeAlias = NDArray[np.float32]
Raw: TypeAlias = "list[Any] | NDArray[Any]"
"""Something to slice: raw values ``[B, *shape]``, or a list of inputs."""

Adjust: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes raw values ``[B, *shape]`` (uint8, bool or float, checked) and returns changed ones, or the same array."""

LARGEST_SIDE = 8192
"""Most pixels along an axis of an image, or of the picture that it is cut from."""
_MOST_VALUES = 2**27
"""Most values in one input; as float32 they take half a GiB."""
_ROUNDING = 1e-5
"""Tolerance of the range [0, 1]: resampling a float image may overshoot it by a few units in the last place."""


@dataclass(frozen=True, repr=False)
class InputSpec:
    """The kind and shape of one input, and the arithmetic from raw values to the network's tensor.

    Raises InputError when the fields do not fit together.
    """

    kind: Literal["image", "table"]
    shape: tuple[int, ...]
    """One input without the batch: ``[C, H, W]`` for images, ``[features]`` for tables."""
    mean: tuple[float, ...]
    """Subtracted per channel of an image in [0, 1], or per feature of a table's raw values."""
    std: tuple[float, ...]
    """Positive; divides each channel or feature after the mean was subtracted."""
    resize: int | None = None
    """Shorter side, in pixels, to which files and PIL images are resized before the centre crop to ``[H, W]``.
    None: the smallest that covers ``[H, W]``."""
    columns: Columns | None = None
    """The columns that a table's features come from; None for images, and for tables without names. They are no part
    of the ``input`` section of config.json but of its provenance, so that older versions read it."""

    def __post_init__(self) -> None:
        for name, kind in (("shape", int), ("mean", float), ("std", float)):
            object.__setattr__(self, name, _numbers(getattr(self, name), kind, name))
        axes = {"image": 3, "table": 1}
        if self.kind not in axes:
            raise InputError(f"input kind must be 'image' or 'table', found {describe(self.kind)}")
        if len(self.shape) != axes[self.kind] or any(n < 1 for n in self.shape):
            form = "[C, H, W]" if self.kind == "image" else "[features]"
            raise InputError(f"input shape must be {form}, all positive, found {list(self.shape)}")
        if math.prod(self.shape) > _MOST_VALUES or (self.kind == "image" and max(self.shape[1:]) > LARGEST_SIDE):
            raise InputError(
                f"input shape {list(self.shape)} is too large; allowed are {_MOST_VALUES} values, and sides of "
                f"{LARGEST_SIDE} pixels"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.shape[0]:
                unit = "channel" if self.kind == "image" else "feature"
                raise InputError(f"input {name} has {len(values)} values, one per {unit} is {self.shape[0]}")
        if not all(map(math.isfinite, self.mean)):
            raise InputError(f"input mean must be finite, found {describe(list(self.mean))}")
        if not all(math.isfinite(s) and s > 0 for s in self.std):
            raise InputError(f"input std must be finite and positive, found {describe(list(self.std))}")
        if self.resize is not None and self.kind != "image":
            raise InputError(f"input resize is for images only, found {self.resize} for a table")
        if self.resize is not None and self.resize > LARGEST_SIDE:
            raise InputError(f"input resize {self.resize} is too large; allowed are {LARGEST_SIDE} pixels")
        if self.resize is not None and self.resize < max(self.shape[1:]):
            raise InputError(f"input resize {self.resize} is smaller than the crop {list(self.shape[1:])}")
        if self.columns is not None and (self.kind != "table" or self.columns.width != self.shape[0]):
            raise InputError(f"input columns have {self.columns.width} features; the input is {self.kind} {self.shape}")

    def __repr__(self) -> str:
        resize = "" if self.resize is None else f", resize={self.resize}"
        columns = "" if self.columns is None else f", columns={self.columns.names[:4]}"
        return f"InputSpec({self.kind!r}, {self.shape}, mean={_few(self.mean)}, std={_few(self.std)}{resize}{columns})"

    def to_json(self) -> dict[str, Any]:
        """Return the ``input`` section of config.json; :meth:`from_json` reads it."""
        statistics = {"mean": [float(v) for v in self.mean], "std": [float(v) for v in self.std]}
        return {"kind": self.kind, "shape": list(self.shape), **statistics, "resize": self.resize}

    @classmethod
    def from_json(cls, data: object) -> InputSpec:
        """Read the ``input`` section; raises InputError naming a missing, unknown or wrong field."""
        fields = check_keys(data, {"kind", "shape", "mean", "std"}, frozenset({"resize"}), "input")
        resize = fields.get("resize")
        return cls(
            kind=check_type(fields["kind"], str, "input kind"),
            shape=check_list(fields["shape"], int, "input shape"),
            mean=check_list(fields["mean"], float, "input mean"),
            std=check_list(fields["std"], float, "input std"),
            resize=None if resize is None else check_type(resize, int, "input resize"),
        )

    def prepare(self, inputs: Any, batch: bool | None = None) -> tuple[FloatArray, bool]:
        """Return the prepared inputs, ``float32 [B, *shape]``, and True if ``inputs`` was one input, not a batch.

        An image is

        - a path, an ``http://``, ``https://`` or ``data:`` URL, bytes, a binary file object or a PIL image, of any
          mode and size: rotated upright by its EXIF tag, composited on black where transparent (on white if all
          that is visible is darker than mid-grey), converted to the model's grey or RGB, resized and centre-cropped to
          ``[H, W]``. A URL is downloaded within 20 seconds; encoded images from URLs and file objects may have 32 MiB;
        - an array (numpy, or anything with ``__array__`` such as a torch tensor) of uint8 in 0..255, bool, or
          floats in [0, 1], shaped ``[C, H, W]``, ``[H, W, C]`` or, for one channel, ``[H, W]``.

        A batch of images is an array with a batch axis before those, or a list or tuple of images in any form.
        Where a shape fits two layouts, channels come first.

        A table is an array or list of finite numbers, ``[features]`` or ``[B, features]``. If the model knows its
        columns, it is raw rows with texts and booleans: a dict or a list of dicts, a DataFrame, the path of a CSV, JSON
        or Parquet file, and everything else that :mod:`sdk.tables` reads.

        The form decides between one input and a batch, never the number of inputs. Only an array ``[1, H, W]`` of a
        grey model fits both: it is one image, with an AmbiguousInputWarning, unless ``batch`` is given. With
        ``batch=True`` the inputs must be a batch and with ``batch=False`` one input; all other forms are refused.

        An empty list and an array without rows are empty batches. Images are never inverted here; :class:`sdk.Model`
        does that. Raises :class:`InputError`.
        """
        batches, single = self.batches(inputs, 2**62, batch=batch)
        return np.concatenate([np.empty((0, *self.shape), np.float32), *batches]), single

    def batches(
        self,
        inputs: Any,
        size: int,
        adjust: Adjust | None = None,
        failures: dict[int, InputError] | None = None,
        batch: bool | None = None,
    ) -> tuple[Iterator[FloatArray], bool]:
        """Do as :meth:`prepare` in batches of ``size``, so that a long list of files is never in memory at once.

        ``adjust`` changes raw values before they are normalised. With ``failures``, items of a list that cannot be
        used are left out, and their errors are recorded there by the number of the item.
        """
        _check_batch(batch)
        table = None if self.columns is None else read_rows(inputs, self.columns, size)
        if table is not None:
            return self._encoded(table[0], failures), _checked(table[1], batch)
        rows, single = self._rows(inputs)
        if single and self.fits_one_and_batch(inputs):
            single = not batch
            if batch is None:
                give_warning(_ambiguous(self.shape))
        single = _checked(single, batch)
        starts = range(0, len(rows), size)
        return (self._tensor(rows[i : i + size], i, adjust, failures) for i in starts), single

    def fits_one_and_batch(self, inputs: Any) -> bool:
        """Return True for an array ``[1, H, W]`` of a grey model, which ``batch`` of :meth:`prepare` is for."""
        return self.kind == "image" and fits_one_and_batch(inputs, self.shape)

    def _encoded(self, blocks: Iterator[Rows], failures: dict[int, InputError] | None) -> Iterator[FloatArray]:
        """Encode and normalise blocks of raw rows."""
        assert self.columns is not None
        first = 0
        for block in blocks:
            yield self._normalise(block.encode(self.columns, first, failures), None)
            first += block.count

    def _rows(self, inputs: Any) -> tuple[Raw, bool]:
        """Return the inputs as rows, and True if they are one input."""
        if isinstance(inputs, (list, tuple)) and not holds_numbers(inputs):
            return list(inputs), False
        return self._raw(inputs)

    def _tensor(
        self, rows: Raw, first: int, adjust: Adjust | None, failures: dict[int, InputError] | None
    ) -> FloatArray:
        """Prepare rows, the first of which is number ``first`` of the caller's inputs."""
        if isinstance(rows, np.ndarray):
            return self._normalise(rows, adjust)
        parts = [np.empty((0, *self.shape), np.float32)]
        for index, item in enumerate(rows, first):
            try:
                parts.append(self._normalise(self._one(item, failures is not None), adjust))
            except InputError as error:
                if failures is None:
                    raise InputError(f"input {index}: {error}") from error
                failures[index] = error
        return np.concatenate(parts)

    def _one(self, item: Any, strict: bool) -> NDArray[Any]:
        """Return the raw values of an item of a list, ``[1, *shape]``; unless ``strict``, it may be a batch."""
        raw, single = self._raw(item)
        if strict and not single:
            raise InputError(f"found a batch of {len(raw)} inputs in a list, allowed one input per item")
        return raw

    def _raw(self, item: Any) -> tuple[NDArray[Any], bool]:
        """Return the raw values ``[B, *shape]`` of one input or an array of inputs, and True if it is one."""
        if self.kind == "table":
            return self._table(as_array(item, "numbers or an array"))
        if is_encoded(item):
            from sdk.images import read_picture

            return read_picture(item, self.shape, self.resize)[None], True
        array = as_array(item, "a path, a URL, bytes, a file object, a PIL image or an array")
        return image_rows(array, self.shape)

    def _table(self, array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        if array.dtype.kind not in "biuf":
            raise InputError(f"tables hold numbers, found an array of {array.dtype}")
        if array.shape[-1:] != self.shape or array.ndim > 2:
            n = self.shape[0]
            raise InputError(f"wrong shape {list(array.shape)}; the model takes [{n}] or [B, {n}]")
        return array.reshape(-1, *self.shape), array.ndim == 1

    def _normalise(self, raw: NDArray[Any], adjust: Adjust | None) -> FloatArray:
        """Return ``(x - mean) / std`` of raw values ``[B, *shape]`` in float32, with the operations of training."""
        with np.errstate(over="ignore"):
            x = raw.astype(np.float32)
        if not np.isfinite(x).all():
            raise InputError("NaN or infinite values; the model takes finite numbers only")
        if self.kind == "image" and raw.dtype != np.uint8:
            _check_unit_range(x)
        if adjust is not None:
            adjusted = adjust(raw)
            x = x if adjusted is raw else adjusted.astype(np.float32)
        if self.kind == "image" and raw.dtype == np.uint8:
            x /= np.float32(255)
        per_channel = (-1,) + (1,) * (len(self.shape) - 1)
        x -= np.array(self.mean, np.float32).reshape(per_channel)
        x /= np.array(self.std, np.float32).reshape(per_channel)
        return np.ascontiguousarray(x)


def _numbers(given: Any, kind: type, name: str) -> tuple[Any, ...]:
    """Return a list or array of numbers as a tuple of plain ones; raises InputError."""
    values = given.tolist() if hasattr(given, "tolist") else given
    known = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, known) for value in values):
        raise InputError(f"input {name}: found {describe(given)}, allowed a tuple of numbers")
    return tuple(map(kind, values))


def _few(values: tuple[float, ...]) -> str:
    """Show at most four numbers."""
    shown = [f"{value:.4g}" for value in values[:4]]
    return f"({', '.join(shown)}, ... {len(values)} values)" if len(values) > 4 else f"({', '.join(shown)})"


def _check_batch(batch: object) -> None:
    if not (batch is None or isinstance(batch, (bool, np.bool_))):
        found = describe(batch)
        raise InputError(f"batch: found {found}, allowed True, False or None; batch_size is how many at once")


def _checked(single: bool, batch: bool | None) -> bool:
    """Return ``single``; raises InputError if the caller said otherwise."""
    if batch is not None and bool(batch) == single:
        found, fix = ("one input", "pass a list") if single else ("a batch", "pass one input without a list or axis")
        raise InputError(f"batch={bool(batch)}: found {found}; {fix}, or leave out batch")
    return single


def _ambiguous(shape: tuple[int, ...]) -> AmbiguousInputWarning:
    return AmbiguousInputWarning(
        f"found an array {list(shape)}, read as one image with its channel; batch=True makes it a batch of one, whose "
        "result is a list like that of any batch, and batch=False says that it is one image"
    )


def _check_unit_range(x: FloatArray) -> None:
    if not x.size:
        return
    low, high = float(x.min()), float(x.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise InputError(
            f"float images must have values in [0, 1], found {low:g} to {high:g}; divide by the largest possible "
            "value (255 for bytes, 16 for scikit-learn's digits) or pass uint8, which means 0..255"
        )
