"""The polarity of images, and the inversion of images of the opposite polarity.

Brightness is the mean of the channels, in [0, 1]. The border is the outermost ring of pixels, and its brightness the
median of that ring, so that strokes which touch it do not matter. An image is *light on dark* if its bright parts (the
99th percentile) exceed the border by at least 0.25, and by at least twice as much as the border exceeds its dark parts
(the 1st percentile); *dark on light* is the reverse. Random noise, blank images and most photographs are neither.

A model has a polarity if at least 95 % of its training images have it. An image of the opposite polarity is inverted,
and its background stretched to black or white, because paper in a photograph is grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sdk.errors import InputError, InvertedInputWarning
from sdk.validation import describe

LIGHT_ON_DARK, DARK_ON_LIGHT = "light on dark", "dark on light"
Invert: TypeAlias = 'Literal["auto"] | bool'
MODEL_SHARE = 0.95
_CONTRAST = 0.25
_DOMINANCE = 2.0
_SIGNS = {LIGHT_ON_DARK: 1, DARK_ON_LIGHT: -1}
_WORDS = {
    LIGHT_ON_DARK: "light strokes on a dark background",
    DARK_ON_LIGHT: "dark strokes on a light background",
}


def image_polarities(images: NDArray[Any]) -> NDArray[np.int8]:
    """Return 1 for light on dark, -1 for dark on light and 0 for neither, ``[B]``.

    ``images [B, C, H, W]`` are uint8, bool or floats in [0, 1].
    """
    grey = brightness(images)
    border = border_brightness(grey)
    dark, light = np.percentile(grey.reshape(len(grey), -1), (1, 99), axis=1) if len(grey) else (border, border)
    below, above = border - dark, light - border
    signs = np.zeros(len(grey), np.int8)
    signs[(above >= _CONTRAST) & (above >= _DOMINANCE * below)] = 1
    signs[(below >= _CONTRAST) & (below >= _DOMINANCE * above)] = -1
    return signs


def brightness(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the mean of the channels ``[B, H, W]``, in [0, 1], of images as in :func:`image_polarities`."""
    grey: NDArray[np.float32]
    grey = images[:, 0].astype(np.float32) if images.shape[1] == 1 else images.mean(1, dtype=np.float32)
    return grey / np.float32(255) if images.dtype == np.uint8 else grey


def border_brightness(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median brightness of the outermost ring of pixels, ``[B]``, of grey images ``[B, H, W]``."""
    median: NDArray[np.float32] = np.median(_ring(grey), axis=-1)
    return median


def _ring(images: NDArray[Any]) -> NDArray[Any]:
    """Return the outermost pixels ``[..., R]`` of images ``[..., H, W]``."""
    sides = [images[..., 1:-1, 0], images[..., 1:-1, -1]]
    return np.concatenate([images[..., 0, :], images[..., -1, :], *sides], axis=-1)


def polarity_of(provenance: Mapping[str, Any]) -> str | None:
    """Return the polarity that an artifact's provenance records; None for artifacts without one."""
    data = provenance.get("data")
    appearance = data.get("appearance") if isinstance(data, dict) else None
    polarity = appearance.get("polarity") if isinstance(appearance, dict) else None
    return polarity if isinstance(polarity, str) and polarity in _SIGNS else None


def describe_polarity(polarity: str) -> str:
    """Return a polarity in words, such as "light strokes on a dark background"."""
    return _WORDS[polarity]


class Inverter:
    """Inverts the images of one call: those whose polarity is the opposite of the model's, all, or none.

    ``invert`` is "auto", True or False; "auto" does nothing for a model without polarity. Raises InputError for any
    other value, and for True if the model takes tables.
    """

    def __init__(self, kind: str, polarity: str | None, invert: Invert) -> None:
        if not (isinstance(invert, (bool, np.bool_)) or (isinstance(invert, str) and invert == "auto")):
            raise InputError(f"invert: found {describe(invert)}, allowed 'auto', True or False")
        self.invert = invert if isinstance(invert, str) else bool(invert)
        if kind != "image" and self.invert is True:
            raise InputError("invert: found True, allowed 'auto' or False; only images can be inverted")
        self.polarity = polarity if kind == "image" else None
        self.seen = 0
        """Number of inputs so far."""
        self.recognised = 0
        """Number of inputs that were inverted because of their polarity."""

    def __call__(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return raw images ``[B, C, H, W]``, uint8, bool or floats in [0, 1], with some inverted.

        Those that are recognised by their polarity also go through :func:`with_background`.
        """
        self.seen += len(raw)
        if self.invert != "auto":
            return inverted(raw) if self.invert else raw
        if self.polarity is None:
            return raw
        opposite = self._opposite(raw)
        count = int(opposite.sum())
        self.recognised += count
        if not count:
            return raw
        changed: NDArray[Any] = raw.copy()
        changed[opposite] = with_background(inverted(raw[opposite]), self.polarity)
        return changed

    def warning(self, name: str) -> InvertedInputWarning | None:
        """Return the warning about images that were inverted because of their polarity, if any."""
        if not self.recognised or self.polarity is None:
            return None
        found = _WORDS[DARK_ON_LIGHT if self.polarity == LIGHT_ON_DARK else LIGHT_ON_DARK]
        warning = InvertedInputWarning(
            f"inverted {self.recognised} of {self.seen} images: they show {found}, and {name} was trained on "
            f"{_WORDS[self.polarity]}; invert=False uses images as they are"
        )
        warning.inverted, warning.seen = self.recognised, self.seen
        return warning

    def _opposite(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Return True for each image whose polarity is the opposite of the model's."""
        sign = _SIGNS[str(self.polarity)]
        found = np.zeros(len(raw), np.bool_)
        # In an image of the opposite polarity, at least half the border is a contrast away from the model's background.
        # Few images pass this test, which takes a tenth of the time of the percentiles.
        ring = brightness(_ring(raw)[:, :, None])[:, 0]
        away = ring >= _CONTRAST if sign > 0 else ring <= 1 - _CONTRAST
        candidates = np.flatnonzero(2 * np.count_nonzero(away, axis=1) >= ring.shape[1])
        if len(candidates):
            found[candidates] = image_polarities(raw[candidates]) == -sign
        return found


def inverted(raw: NDArray[Any]) -> NDArray[Any]:
    """Return the negative of raw images: 255 - x for uint8, 1 - x for floats, not x for bool."""
    if raw.dtype == np.bool_:
        return ~raw
    negative: NDArray[Any] = (np.uint8(255) if raw.dtype == np.uint8 else 1) - raw
    return negative


def with_background(raw: NDArray[Any], polarity: str) -> NDArray[Any]:
    """Stretch raw images so that their border becomes black (light on dark) or white (dark on light).

    The negative of ink on grey paper is light ink on grey, on which models fail. An image whose border is already black
    (white) stays the same bit for bit.
    """
    scale = np.float32(255 if raw.dtype == np.uint8 else 1)
    border = border_brightness(brightness(raw))[:, None, None, None] * scale
    values = raw.astype(np.float32)
    above = (values - border) / (scale - border) if polarity == LIGHT_ON_DARK else values / border
    stretched = np.clip(above * scale, 0, scale)
    changed: NDArray[Any] = (np.rint(stretched) if raw.dtype == np.uint8 else stretched).astype(raw.dtype)
    return changed
