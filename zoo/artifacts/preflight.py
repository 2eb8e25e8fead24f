"""Try, before training, everything that writing the artifact needs afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import nn

from sdk.artifact import (
    CARD_FILE,
    ONNX_FILE,
    ONNX_INPUT,
    ONNX_OUTPUT,
    RECIPE_FILE,
    WEIGHTS_FILE,
    ArtifactConfig,
    read_artifact,
)
from sdk.backends import backends_of, open_backend
from sdk.errors import CellzooError
from sdk.text import is_unicode
from sdk.weights import METADATA
from zoo.artifacts.card import card_text
from zoo.artifacts.check import check_card
from zoo.artifacts.onnx import build_onnx, open_session
from zoo.artifacts.seal import seal
from zoo.artifacts.target import check_writable
from zoo.artifacts.writer import inference_copy
from zoo.data.location import dataset_title
from zoo.data.split import Data
from zoo.families.registry import get_family, load_hook
from zoo.recipe import Recipe
from zoo.utils.errors import ExportError
from zoo.utils.files import write_text
from zoo.utils.provenance import gather_provenance

_COPIES = 4
"""The weights, their ONNX form, and both again while an older artifact is replaced."""
_METRICS = {
    "test_accuracy": 0.0, "test_correct": 0, "test_total": 1, "test_interval_95": [0.0, 1.0], "test_loss": 0.0,
    "validation_accuracy": 0.0, "seeds": 1,
}  # fmt: skip


def check_exportable(recipe: Recipe, data: Data, module: nn.Module, out: Path, *, overwrite: bool = False) -> None:
    """Raise ExportError or CardError if the artifact of ``module`` could not be written to ``out`` after training.

    A rehearsal with the untrained module in a temporary folder: weights, recipe, labels, licence, card and the formats
    of the recipe are written and loaded back. The ONNX graph must be valid and run on one sample; its numbers are
    compared with torch's after training only. The module stays unchanged.
    """
    out = check_writable(out, overwrite)
    _check_space(out, module)
    portrait = get_family(recipe.model.family).portrait
    if portrait is not None:
        load_hook(portrait)
    _check_text(recipe, data)
    try:
        with TemporaryDirectory(prefix="zoo-") as temporary:
            folder = Path(temporary)
            try:
                _rehearse(folder, recipe, data, inference_copy(module))
            except CellzooError as error:
                reason = str(error).replace(f"{folder}: ", "")
                raise ExportError(f"the artifact could not be written after training: {reason}") from error
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            f"cannot write to the folder of temporary files, where the artifact is tried before training: {reason}; "
            "make room there, or set TMPDIR to another folder"
        ) from error


def _rehearse(folder: Path, recipe: Recipe, data: Data, module: nn.Module) -> None:
    """Write a complete artifact of an untrained module and load it with every backend."""
    recipe_yaml = recipe.to_yaml()
    facts = {"name": dataset_title(recipe.data), "train": len(data.train), "validation": len(data.validation)}
    config = ArtifactConfig(
        name=recipe.name,
        family=recipe.model.family,
        model=recipe.model.model_dump(mode="json"),
        input=data.input_spec,
        labels=tuple(data.labels),
        task=data.kind,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        metrics=_METRICS,
        provenance=gather_provenance(recipe_yaml, recipe.train.seed, 0, 0.0, facts),
        licence=recipe.export.licence,
        files={},
    )
    tensors = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, METADATA)
    write_text(folder / RECIPE_FILE, recipe_yaml)
    if "onnx" in recipe.export.formats:
        model = build_onnx(module, seal(folder, config))
        _check_runs(model, config)
        (folder / ONNX_FILE).write_bytes(model.SerializeToString())
    write_text(folder / CARD_FILE, card_text(folder, seal(folder, config)))
    seal(folder, config)
    check_card(folder)
    artifact = read_artifact(folder)
    for backend in backends_of(artifact.config):
        open_backend(artifact, backend)  # without the family's model, which may need what only training finds


def _check_text(recipe: Recipe, data: Data) -> None:
    """Raise ExportError for text that a file cannot hold, such as a label from a folder's name in another encoding."""
    given = (("the licence", recipe.export.licence), ("train.start_from", recipe.train.start_from or ""))
    for what, text in (*given, *(("the label", label) for label in data.labels)):
        if not is_unicode(text):
            raise ExportError(f"{what} {text!r} is not Unicode text and cannot be stored; rename it")


def _check_runs(model: onnx.ModelProto, config: ArtifactConfig) -> None:
    """Raise ExportError unless the graph is valid and gives one row of logits for one sample."""
    try:
        onnx.checker.check_model(model, full_check=True)
        (logits,) = open_session(model).run([ONNX_OUTPUT], {ONNX_INPUT: np.zeros((1, *config.input.shape), np.float32)})
    except Exception as error:  # onnxruntime's errors have no common base
        raise ExportError(f"the ONNX graph is not valid: {' '.join(str(error).split())}") from error
    if logits.shape != (1, config.outputs):
        raise ExportError(f"the ONNX graph gives {list(logits.shape)}, expected {[1, config.outputs]}")


def _check_space(out: Path, module: nn.Module) -> None:
    """Raise ExportError if the disk of ``out`` has less space than the artifact needs."""
    state = module.state_dict().values()
    needed = _COPIES * sum(tensor.numel() * tensor.element_size() for tensor in state) + 2**20
    free = shutil.disk_usage(next(parent for parent in out.parents if parent.exists())).free
    if free < needed:
        raise ExportError(f"cannot write {out}: it needs about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free")
