"""Write a trained module as an artifact, and check it by loading it back."""

from __future__ import annotations

import copy
import json
import math
import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import nn

from sdk.artifact import (
    CARD_FILE,
    EXAMPLE_FILE,
    FIGURES_FOLDER,
    HISTORY_FILE,
    INPUT_FILE,
    LEARNING_FILE,
    NAME_PATTERN,
    ONNX_FILE,
    PROBE_FILE,
    RECIPE_FILE,
    THUMBNAIL_FILE,
    WEIGHTS_FILE,
    ArtifactConfig,
    read_artifact,
)
from sdk.backends import backends_of
from sdk.errors import CellzooError
from sdk.inputs import InputSpec
from sdk.loading import open_model
from sdk.tasks import TaskKind
from sdk.weights import METADATA
from zoo.artifacts.appearance import draw_training_samples, with_appearance
from zoo.artifacts.card import card_text, findings_text, read_notes
from zoo.artifacts.card_figures import add_example, draw_curves
from zoo.artifacts.extras import Extras
from zoo.artifacts.onnx import write_extra_onnx, write_onnx
from zoo.artifacts.random_inputs import random_inputs
from zoo.artifacts.seal import seal
from zoo.artifacts.target import check_replaceable, check_writable
from zoo.data.split import Split
from zoo.families.base import FamilyConfig
from zoo.families.registry import PACKAGE_KEY, get_family, load_hook, package_of
from zoo.utils.errors import ExportError
from zoo.utils.files import replacing_folder, write_text


def write_artifact(
    out: Path,
    *,
    name: str,
    module: nn.Module,
    model_config: FamilyConfig,
    input_spec: InputSpec,
    labels: list[str],
    task: TaskKind = "classification",
    metrics: dict[str, Any],
    provenance: dict[str, Any],
    recipe_yaml: str | None,
    licence: str,
    history: Sequence[dict[str, Any]] = (),
    formats: Sequence[str] = ("safetensors",),
    training: Split | None = None,
    test: Split | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the artifact folder ``out`` atomically and return it.

    Before the folder is installed, the SDK loads it and must give bit-equal logits on a random batch. With "onnx" in
    ``formats``, model.onnx must agree up to rounding, and predict the same labels on ``test``, ties apart. With
    ``training``, an artifact for images records what they look like and shows some of them. ``overwrite`` replaces an
    older artifact, which stays until the new one is complete; the notes in its card are preserved. A model that was
    trained outside the zoo's loop has no ``recipe_yaml``. A tensor with two names (tied weights) is stored under both.

    Raises ExportError, and CardError if the notes cannot be preserved. If only model.onnx, a figure or the card cannot
    be made, the artifact is written without it, and IncompleteArtifactError is raised afterwards.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ExportError(f"model name {name!r} must match {NAME_PATTERN}")
    out = check_writable(out, overwrite)
    trained = inference_copy(module)
    check_weights(trained)
    config = ArtifactConfig(
        name=name,
        family=model_config.family,
        model=model_config.model_dump(mode="json"),
        input=input_spec,
        labels=tuple(labels),
        task=task,
        parameters=sum(parameter.numel() for parameter in trained.parameters()),
        metrics=metrics,
        provenance={**provenance, **_origin_of(model_config.family)},
        licence=licence,
        files={},
    )
    try:
        with replacing_folder(out, overwrite=overwrite, check=check_replaceable) as folder:
            _write_training(folder, trained, recipe_yaml, history)
            extras = Extras(folder)
            if "onnx" in formats:
                _add_onnx(folder, config, trained, test, extras)
            with extras.trying(FIGURES_FOLDER, PROBE_FILE):
                _draw_portrait(folder, config, trained)
            if training is not None:
                config = with_appearance(config, training)
                with extras.trying(EXAMPLE_FILE):
                    draw_training_samples(folder, config, training)
                with extras.trying(THUMBNAIL_FILE, INPUT_FILE):
                    config = add_example(folder, config, *_shown_part(training, test))
            with extras.trying(LEARNING_FILE):
                draw_curves(folder)
            complete(folder, config, trained, read_notes(out / CARD_FILE), extras)
    except (OSError, SafetensorError) as error:
        raise cannot_write(out, error) from error
    extras.check(name, out)
    return out


def _write_training(
    folder: Path, trained: nn.Module, recipe_yaml: str | None, history: Sequence[dict[str, Any]]
) -> None:
    """Write what the training gave, without which there is no artifact: weights, recipe and history."""
    tensors = {name: tensor.detach().numpy() for name, tensor in trained.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, METADATA)
    if recipe_yaml is not None:
        write_text(folder / RECIPE_FILE, recipe_yaml)
    write_text(folder / HISTORY_FILE, _history_text(history))


def _add_onnx(folder: Path, config: ArtifactConfig, trained: nn.Module, test: Split | None, extras: Extras) -> None:
    """Add model.onnx and the family's other ONNX files; ``extras`` records a failure."""
    sealed = seal(folder, config)  # the metadata of model.onnx holds the weights' hash
    with extras.trying(ONNX_FILE):
        write_onnx(folder / ONNX_FILE, trained, sealed, test=test)
        write_extra_onnx(folder, trained, config)


def _shown_part(training: Split, test: Split | None) -> tuple[str, Split]:
    """Return the part of the data that the thumbnail and the example come from, and its name."""
    return ("training", training) if test is None or not len(test) else ("test", test)


def _origin_of(family: str) -> dict[str, str]:
    """Return the fact that a family comes from another package, for the provenance."""
    package = package_of(family)
    return {} if package is None else {PACKAGE_KEY: package}


def cannot_write(out: Path, error: Exception) -> ExportError:
    """Return the error for a file system that refuses, such as a full disk, or for a target that appeared meanwhile."""
    return ExportError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}")


def inference_copy(module: nn.Module) -> nn.Module:
    """Return a copy of the module as the SDK loads it: on the CPU, in eval mode, with row-major tensors."""
    trained = copy.deepcopy(module).cpu().eval()
    for tensor in (*trained.parameters(), *trained.buffers()):
        tensor.data = tensor.data.contiguous()  # another layout selects another matmul, which rounds differently
    return trained


def check_weights(module: nn.Module) -> None:
    """Raise ExportError unless all floats of the module's state are finite float32."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ExportError(f"tensor {name} is {tensor.dtype}; weights are exported in float32: call module.float()")
        if not tensor.isfinite().all():
            raise ExportError(f"tensor {name} holds NaN or infinite values; lower the learning rate of the training")


def complete(
    folder: Path, config: ArtifactConfig, module: nn.Module | None, notes: str, extras: Extras | None = None
) -> None:
    """Add the card and config.json to a folder that holds all other files, and check that the SDK loads it.

    Without a ``module``, the logits of the loaded model are not compared. With ``extras``, the card may fail.
    """
    config = seal(folder, config)
    with extras.trying(CARD_FILE) if extras else nullcontext():
        write_text(folder / CARD_FILE, card_text(folder, config, notes))
    seal(folder, config)
    check_loads_back(folder, module)


def check_loads_back(folder: Path, trained: nn.Module | None) -> None:
    """Raise ExportError unless the SDK loads the folder and reproduces the module's logits bit for bit."""
    try:
        artifact = read_artifact(folder)
        for backend in backends_of(artifact.config):
            open_model(artifact, backend)
        if trained is None:
            return
        loaded = open_model(artifact, "torch")
        raw = random_inputs(loaded.input_spec, 3)
        found = loaded.logits(raw, invert=False)
    except CellzooError as error:
        reason = str(error).replace(f"{folder}: ", "").replace(f"{folder}{os.sep}", "")
        raise ExportError(f"the written artifact does not load: {reason}") from error
    with torch.inference_mode():
        expected = trained(torch.from_numpy(loaded.input_spec.prepare(raw)[0])).numpy()
    if not np.array_equal(found, expected):
        gap = float(np.abs(found - expected).max())
        raise ExportError(f"the artifact's logits differ from the trained module's by {gap:g}, allowed 0")


def _history_text(history: Sequence[dict[str, Any]]) -> str:
    """Return a JSON list with one round per line; a number that is not finite, such as an overflowed loss, is null."""
    lines = [
        json.dumps({key: value if math.isfinite(value) else None for key, value in record.items()})
        for record in history
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def _draw_portrait(folder: Path, config: ArtifactConfig, trained: nn.Module) -> None:
    """Add the figures that the family draws of every new model, and their text; a probe replaces both."""
    family = get_family(config.family)
    if family.portrait is None:
        return
    figures = folder / FIGURES_FOLDER
    figures.mkdir()
    findings = load_hook(family.portrait)(trained, figures)
    if findings.figures:
        write_text(folder / PROBE_FILE, findings_text(findings))
    else:
        figures.rmdir()
