"""Export a trained model again: to ONNX inside its artifact, or to a separate file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from sdk.artifact import ONNX_FILE, RECIPE_FILE, ArtifactConfig
from sdk.validation import hint
from zoo.artifacts.edit import Stored, changing, open_stored
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.onnx import write_extra_onnx, write_onnx
from zoo.artifacts.target import check_new_file, check_writable
from zoo.data.split import Split
from zoo.families.registry import get_family, load_hook
from zoo.utils.errors import DataError, ExportError
from zoo.utils.files import write_text
from zoo.utils.progress import Progress, no_progress


@dataclass(frozen=True)
class Exported:
    """A written file."""

    path: Path
    uncompared: str | None
    """The reason why its labels were not compared with torch's on the test split; None if they were."""


def export_file(
    name: str,
    out: Path,
    *,
    member: str | None = None,
    preprocessing: bool = False,
    overwrite: bool = False,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> Exported:
    """Write a trained model (a name or an artifact's folder), or one ``member`` of an ensemble, as ONNX file ``out``.

    Raises ExportError if ``out`` exists (without ``overwrite``) or if the model cannot be exported.
    """
    check_new_file(out, overwrite)
    stored = open_stored(name)
    module = stored.module if member is None else _member(stored, member)
    progress(f"loading {stored.recipe.data.name}")
    test, uncompared = _test_part(stored, data_dir)
    path = write_onnx(out, module, stored.config, preprocessing=preprocessing, test=test, overwrite=overwrite,
                      progress=progress)  # fmt: skip
    return Exported(path, uncompared)


def add_onnx(name: str, data_dir: Path | None = None, progress: Progress = no_progress) -> Exported:
    """Add or regenerate model.onnx in an artifact, atomically; its recipe and its card then list the format.

    Raises ExportError if the model cannot be exported or the folder cannot be written.
    """
    stored = open_stored(name)
    folder, recipe = check_writable(stored.artifact.folder, overwrite=True), stored.recipe
    progress(f"loading {recipe.data.name}")
    test, uncompared = _test_part(stored, data_dir)
    recipe_yaml, config = _listing_onnx(stored)
    with changing(stored, config) as new:
        write_onnx(new / ONNX_FILE, stored.module, config, test=test, overwrite=True, progress=progress)
        write_extra_onnx(new, stored.module, config)
        if recipe_yaml is not None:
            write_text(new / RECIPE_FILE, recipe_yaml)
    return Exported(folder / ONNX_FILE, uncompared)


def _listing_onnx(stored: Stored) -> tuple[str | None, ArtifactConfig]:
    """Return the recipe with onnx among its formats, None if it is there already, and the config with its hash."""
    export = stored.recipe.export
    if "onnx" in export.formats:
        return None, stored.config
    listing = export.model_copy(update={"formats": (*export.formats, "onnx")})
    text = stored.recipe.model_copy(update={"export": listing}).to_yaml()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text, replace(stored.config, provenance={**stored.config.provenance, "recipe_sha256": digest})


def _member(stored: Stored, name: str) -> nn.Module:
    members = get_family(stored.config.family).members
    found: dict[str, nn.Module] = load_hook(members)(stored.module) if members else {}
    if name not in found:
        existing = f"allowed: {', '.join(found)}" if found else "it has no members; leave --member out"
        raise ExportError(f"{stored.config.name} has no member {name!r}{hint(name, found)}; {existing}")
    return found[name]


def _test_part(stored: Stored, data_dir: Path | None) -> tuple[Split | None, str | None]:
    """Return the recipe's test split, or the reason why it is not available.

    Raises DataError if ``data_dir`` is given and does not hold the data.
    """
    try:
        return load_matching_data(stored.recipe.data, stored.config, data_dir).test, None
    except DataError as error:
        if data_dir is not None:
            raise
        return None, str(error)
