"""Another format of a model that is trained already: into its artifact, or as a file of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from sdk.artifact import ONNX_FILE, RECIPE_FILE
from zoo.artifacts.edit import Stored, changing, open_stored
from zoo.artifacts.onnx import write_extra_onnx, write_onnx
from zoo.artifacts.target import check_writable
from zoo.data import load_data
from zoo.data.split import Split
from zoo.families.registry import get_family, load_hook
from zoo.recipe import Recipe
from zoo.utils.errors import DataError, ExportError
from zoo.utils.files import write_text


@dataclass(frozen=True)
class Exported:
    """What was written, and why its labels were not compared on the test set (None: they were)."""

    path: Path
    uncompared: str | None


def export_file(
    name: str,
    out: Path,
    preprocessing: bool = False,
    overwrite: bool = False,
    data_dir: Path | None = None,
    member: str | None = None,
) -> Exported:
    """Write a trained model (a name or an artifact's folder), or one ``member`` of it, as the ONNX file ``out``.

    Raises ExportError when ``out`` is there (without ``overwrite``) or the model cannot be exported.
    """
    if out.is_dir() or (out.exists() and not overwrite):
        raise ExportError(f"{out} exists; give another file{'' if out.is_dir() else ' or ask to overwrite it'}")
    if not out.parent.is_dir():
        raise ExportError(f"cannot write {out}: there is no folder {out.parent}")
    stored = open_stored(name)
    module = stored.module if member is None else _member(stored, member)
    test, uncompared = _test_part(stored.recipe, data_dir)
    path = write_onnx(out, module, stored.config, preprocessing=preprocessing, test=test)
    return Exported(path, uncompared)


def _member(stored: Stored, name: str) -> nn.Module:
    members = get_family(stored.config.family).members
    found: dict[str, nn.Module] = load_hook(members)(stored.module) if members else {}
    if name not in found:
        there = f"it has {', '.join(found)}" if found else "it has none"
        raise ExportError(f"{stored.config.name} has no member {name!r}; {there}")
    return found[name]


def add_onnx(name: str, data_dir: Path | None = None) -> Exported:
    """Add model.onnx to an artifact, or make it anew; its recipe and card say so. Whole or not at all.

    Raises ExportError when the model cannot be exported or the folder cannot be written.
    """
    stored = open_stored(name)
    folder, recipe = check_writable(stored.artifact.folder, overwrite=True), stored.recipe
    test, uncompared = _test_part(recipe, data_dir)
    formats = tuple(dict.fromkeys((*recipe.export.formats, "onnx")))
    recipe_yaml = recipe.model_copy(update={"export": recipe.export.model_copy(update={"formats": formats})}).to_yaml()
    digest = hashlib.sha256(recipe_yaml.encode()).hexdigest()
    config = replace(stored.config, provenance={**stored.config.provenance, "recipe_sha256": digest})
    with changing(stored, config) as new:
        write_onnx(new / ONNX_FILE, stored.module, config, test=test)
        write_extra_onnx(new, stored.module, config)
        write_text(new / RECIPE_FILE, recipe_yaml)
    return Exported(folder / ONNX_FILE, uncompared)


def _test_part(recipe: Recipe, data_dir: Path | None) -> tuple[Split | None, str | None]:
    """The recipe's test data, or why it is not at hand; raises DataError when it is not in a ``data_dir`` given."""
    try:
        return load_data(recipe.data, data_dir).test, None
    except DataError as error:
        if data_dir is not None:
            raise
        return None, str(error)
