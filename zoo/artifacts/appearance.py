"""The appearance of a model's training images: numbers for its provenance, and a picture of some of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdk.appearance import DARK_ON_LIGHT, LIGHT_ON_DARK, MODEL_SHARE, border_brightness, brightness, image_polarities
from sdk.artifact import EXAMPLE_FILE, ArtifactConfig
from zoo.data.sampling import Batch
from zoo.data.split import Split
from zoo.utils.figures import save_png

SAMPLES = 2048
"""Most training images that are measured, at equal distances in the split; each may be a file to decode."""
_SHOWN = 10
_LABEL_LENGTH = 10


def with_appearance(config: ArtifactConfig, training: Split) -> ArtifactConfig:
    """Return the config with the appearance of the training images in its provenance; for tables, unchanged."""
    if config.input.kind != "image":
        return config
    data = {**config.provenance.get("data", {}), "appearance": measure_appearance(training)}
    return replace(config, provenance={**config.provenance, "data": data})


def draw_training_samples(folder: Path, config: ArtifactConfig, training: Split) -> None:
    """Draw the first training image of each class, of at most ten classes, with its label if the model knows it.

    The images are not augmented. For tables, it draws nothing.
    """
    if config.input.kind != "image":
        return
    labels = config.labels
    classes = np.unique(training.labels.numpy()).tolist()[:_SHOWN]
    indices = torch.stack([(training.labels == number).nonzero()[0, 0] for number in classes])
    images = _displayable(training[Batch(indices)][0].numpy())
    figure = Figure(figsize=(0.7 * len(classes), 0.9))
    for number, (image, label) in enumerate(zip(images, (labels[i] if labels else "" for i in classes), strict=True)):
        axes = figure.add_axes((number / len(classes) + 0.005, 0.22, 1 / len(classes) - 0.01, 0.76))
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        shown = label if len(label) <= _LABEL_LENGTH else f"{label[: _LABEL_LENGTH - 3]}..."
        figure.text((number + 0.5) / len(classes), 0.04, shown, ha="center", fontsize=8, parse_math=False)
    path = folder / EXAMPLE_FILE
    path.parent.mkdir(exist_ok=True)
    save_png(figure, path)


def measure_appearance(training: Split) -> dict[str, Any]:
    """Return what the training images look like, as :mod:`sdk.appearance` defines it.

    Brightness is in [0, 1]: ``border`` and ``centre`` (the middle half of height and width) are means over images,
    ``mean``, ``percentile_5`` and ``percentile_95`` are those of all pixels. ``light_on_dark`` and ``dark_on_light``
    are the shares of images, ``polarity`` is that of at least 95 % of them, or None.
    """
    count = len(training)
    chosen = torch.linspace(0, count - 1, min(count, SAMPLES)).long()
    images = torch.cat([training[Batch(part)][0] for part in torch.split(chosen, 256)]).numpy()
    grey, signs = brightness(images), image_polarities(images)
    height, width = grey.shape[1:]
    centre = grey[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    low, high = np.percentile(grey, (5, 95))
    light, dark = float((signs == 1).mean()), float((signs == -1).mean())
    polarity = LIGHT_ON_DARK if light >= MODEL_SHARE else DARK_ON_LIGHT if dark >= MODEL_SHARE else None
    return {
        "samples": len(images),
        "border": _rounded(border_brightness(grey).mean()),
        "centre": _rounded(centre.mean()),
        "mean": _rounded(grey.mean()),
        "percentile_5": _rounded(low),
        "percentile_95": _rounded(high),
        "light_on_dark": _rounded(light),
        "dark_on_light": _rounded(dark),
        "polarity": polarity,
    }


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def _displayable(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return images ``[B, H, W, 3]``, or ``[B, H, W]`` unless they have three channels, in [0, 1]."""
    values = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
    return np.moveaxis(values, 1, -1) if values.shape[1] == 3 else brightness(images)
