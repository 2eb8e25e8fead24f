"""Another format of a model that is trained already: into its artifact, or as a file of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

import sdk
from sdk.artifact import ONNX_FILE, Artifact, read_artifact
from sdk.catalogue import find_model
from zoo.atomic import replacing_folder
from zoo.card import RECIPE_FILE, card_text
from zoo.data import load_data
from zoo.export import CARD_FILE, check_loads_back, check_writable, inference_copy, seal, write_text
from zoo.onnx import ExportError, write_onnx
from zoo.recipe import Recipe, load_recipe
from zoo.splits import DataError, Split


@dataclass(frozen=True)
class Exported:
    """What was written, and why its labels were not compared on the test set (None: they were)."""

    path: Path
    uncompared: str | None


def export_file(
    name: str, out: Path, preprocessing: bool = False, overwrite: bool = False, data_dir: Path | None = None
) -> Exported:
    """Write a trained model (a name or an artifact's folder) as the ONNX file ``out``.

    Raises ExportError when ``out`` is there (without ``overwrite``) or the model cannot be exported.
    """
    if out.is_dir() or (out.exists() and not overwrite):
        raise ExportError(f"{out} exists; give another file{'' if out.is_dir() else ' or ask to overwrite it'}")
    if not out.parent.is_dir():
        raise ExportError(f"cannot write {out}: there is no folder {out.parent}")
    artifact, module, recipe = _open(name)
    test, uncompared = _test_part(recipe, data_dir)
    path = write_onnx(out, module, artifact.config, preprocessing=preprocessing, test=test)
    return Exported(path, uncompared)


def add_onnx(name: str, data_dir: Path | None = None) -> Exported:
    """Add model.onnx to an artifact, or make it anew; its recipe and card say so. Whole or not at all.

    Raises ExportError when the model cannot be exported or the folder cannot be written.
    """
    artifact, module, recipe = _open(name)
    folder = check_writable(artifact.folder, overwrite=True)
    test, uncompared = _test_part(recipe, data_dir)
    formats = tuple(dict.fromkeys((*recipe.export.formats, "onnx")))
    recipe_yaml = recipe.model_copy(update={"export": recipe.export.model_copy(update={"formats": formats})}).to_yaml()
    digest = hashlib.sha256(recipe_yaml.encode()).hexdigest()
    config = replace(artifact.config, provenance={**artifact.config.provenance, "recipe_sha256": digest})
    try:
        with replacing_folder(folder) as new:
            for path in artifact.config.files:
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, new / path)
            write_onnx(new / ONNX_FILE, module, config, test=test)
            write_text(new / RECIPE_FILE, recipe_yaml)
            write_text(new / CARD_FILE, card_text(config, formats))
            seal(new, config)
            check_loads_back(new, module)
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or error}") from error
    return Exported(folder / ONNX_FILE, uncompared)


def _open(name: str) -> tuple[Artifact, nn.Module, Recipe]:
    """A verified artifact, its module as it is exported, and the recipe that made it."""
    folder = Path(os.path.realpath(find_model(name)))
    artifact = read_artifact(folder)
    recipe = load_recipe(artifact.file(RECIPE_FILE))
    return artifact, inference_copy(sdk.load(folder, backend="torch").module), recipe


def _test_part(recipe: Recipe, data_dir: Path | None) -> tuple[Split | None, str | None]:
    """The recipe's test data, or why it is not at hand."""
    try:
        return load_data(recipe.data, data_dir).test, None
    except DataError as error:
        return None, str(error)
