"""The pictures of a card that every model has: a thumbnail with an example, and the curves of its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sdk.artifact import (
    FIGURES_FOLDER,
    HISTORY_FILE,
    INPUT_FILE,
    LEARNING_FILE,
    THUMBNAIL_FILE,
    Artifact,
    ArtifactConfig,
    read_artifact,
)
from sdk.backends import backends_of
from sdk.loading import open_model
from sdk.model import Model
from sdk.plot import thumbnail
from zoo.artifacts.history import parse_history
from zoo.artifacts.seal import seal
from zoo.data.sampling import Batch
from zoo.data.split import Split
from zoo.training.curves import draw_learning
from zoo.utils.figures import save_png

_SAMPLES = 64  # of which the first is shown, and all give means


def draw_curves(folder: Path) -> None:
    """Draw the losses and accuracies that history.json recorded; nothing where it has fewer than two rounds."""
    records = parse_history(folder / HISTORY_FILE) if (folder / HISTORY_FILE).is_file() else []
    (folder / LEARNING_FILE).unlink(missing_ok=True)
    if len(records) > 1:
        (folder / FIGURES_FOLDER).mkdir(exist_ok=True)
        save_png(draw_learning(records), folder / LEARNING_FILE)


def add_example(folder: Path, config: ArtifactConfig, part: str, split: Split) -> ArtifactConfig:
    """Draw the thumbnail of an artifact that has all its files but these, and return its config with an example."""
    model = open_best(read_artifact(folder, files=list(seal(folder, config).files)))
    draw_thumbnail(folder, model, split)
    return with_example(config, model, part, split)


def open_best(artifact: Artifact) -> Model:
    """Open a model by the backend that knows its states, if it has that."""
    backends = backends_of(artifact.config)
    return open_model(artifact, "torch" if "torch" in backends else backends[0])


def with_example(config: ArtifactConfig, model: Model, part: str, split: Split) -> ArtifactConfig:
    """Return the config with an example in its provenance: an input to try, and the model's answer.

    It is the first image of ``split``, the model's ``part``, test or training, as :func:`draw_thumbnail` stores it;
    for a table with named columns, a typical row. Other models, such as those that answer with no class, get no
    example.
    """
    if config.task != "classification":
        return config
    if _is_shown(config):
        raw, labels = split[Batch(torch.tensor([0]))]
        [(label, probability)] = model.predict(_image(raw.numpy()[0]), top_k=1, invert=False)
        example: dict[str, Any] = {"part": part, "label": config.labels[int(labels[0])]}
    elif config.input.columns is not None:
        [(label, probability)] = model.predict(config.input.columns.example(), top_k=1)
        example = {}
    else:
        return config
    example = {**example, "predicted": label, "probability": round(float(probability), 4)}
    return replace(config, provenance={**config.provenance, "example": example})


def draw_thumbnail(folder: Path, model: Model, split: Split) -> None:
    """Draw the thumbnail of a classifier, and store the first image of ``split`` for readers to try."""
    if model.config.task != "classification":
        return
    inputs = split[Batch(torch.arange(min(_SAMPLES, len(split))))][0].numpy()
    (folder / FIGURES_FOLDER).mkdir(exist_ok=True)
    save_png(thumbnail.draw_thumbnail(model, inputs, _subtitle(model.config)), folder / THUMBNAIL_FILE)
    if _is_shown(model.config):
        _image(inputs[0]).save(folder / INPUT_FILE, optimize=True)


def _is_shown(config: ArtifactConfig) -> bool:
    """Return True for images that a PNG file can hold."""
    return config.input.kind == "image" and config.input.shape[0] in (1, 3)


def _image(raw: NDArray[Any]) -> Image.Image:
    values = raw if raw.dtype == np.uint8 else (raw * 255).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))


def _subtitle(config: ArtifactConfig) -> str:
    shape = " x ".join(map(str, config.input.shape))
    what = f"images of {shape}" if config.input.kind == "image" else f"rows of {shape} features"
    return f"{config.family}: {what}, {len(config.labels)} classes, {config.parameters:,} parameters"
