"""Change a trained model's artifact atomically: its card is rendered and its config.json sealed again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

import sdk
from sdk.artifact import CARD_FILE, RECIPE_FILE, WEIGHTS_FILE, Artifact, ArtifactConfig, read_artifact, read_config
from sdk.inputs import InputSpec
from sdk.resolve import find_model
from zoo.artifacts.appearance import draw_training_samples, with_appearance
from zoo.artifacts.card import read_notes
from zoo.artifacts.card_figures import draw_curves, draw_thumbnail, open_best, with_example
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.stored_recipe import recipe_of_artifact
from zoo.artifacts.target import check_replaceable, check_writable
from zoo.artifacts.writer import cannot_write, complete, inference_copy
from zoo.recipe import Recipe
from zoo.utils.errors import ExportError
from zoo.utils.files import replacing_folder


@dataclass(frozen=True)
class Stored:
    """A trained model read from disk: its verified files, its module as exported, and its recipe."""

    artifact: Artifact
    found_module: nn.Module | None
    """None for a network of the user's own, of which the artifact holds the ONNX graph alone."""
    found_recipe: Recipe | None
    """None for a model that was trained outside the zoo's loop."""

    @property
    def module(self) -> nn.Module:
        """The module; raises ExportError if the artifact holds none."""
        if self.found_module is None:
            raise ExportError(
                f"{self.config.name} was saved from a module of no family: it holds its ONNX graph, model.onnx, and "
                "no torch module"
            )
        return self.found_module

    @property
    def recipe(self) -> Recipe:
        """The recipe; raises ExportError if the model has none."""
        if self.found_recipe is None:
            raise ExportError(f"{self.config.name}: found no recipe: it was trained outside the zoo's loop")
        return self.found_recipe

    @property
    def config(self) -> ArtifactConfig:
        return self.artifact.config


def open_stored(name: str) -> Stored:
    """Open a trained model by name or folder; verify all its files except the card, which people may edit."""
    folder = Path(os.path.realpath(find_model(name)))
    artifact = read_artifact(folder, files=[path for path in read_config(folder).files if path != CARD_FILE])
    files = artifact.config.files
    recipe = recipe_of_artifact(artifact) if RECIPE_FILE in files else None
    module = inference_copy(sdk.load(folder, backend="torch").module) if WEIGHTS_FILE in files else None
    return Stored(artifact, module, recipe)


@contextmanager
def changing(stored: Stored, config: ArtifactConfig) -> Iterator[Path]:
    """Yield a copy of the artifact's files to change; on a clean exit, seal and install it with ``config``.

    Notes in the card stay. On any error the artifact is unchanged. Raises CardError, and ExportError, also if another
    command has changed the artifact since it was opened.
    """
    folder = check_writable(stored.artifact.folder, overwrite=True)
    notes = read_notes(folder / CARD_FILE)

    def check(old: Path, new: Path) -> None:
        _check_unchanged(stored, old)
        check_replaceable(old, new)

    try:
        with replacing_folder(folder, overwrite=True, check=check) as new:
            for path in stored.artifact.verified:
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / path, new / path)
            yield new
            complete(new, config, stored.found_module, notes)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _check_unchanged(stored: Stored, folder: Path) -> None:
    """Raise ExportError unless a folder, maybe under a temporary name, still has the config that was read from it."""
    if read_config(folder) != stored.config:
        raise ExportError(f"{stored.artifact.folder}: another command changed the model meanwhile; repeat this one")


def refresh_example(name: str, data_dir: Path | None = None) -> Path:
    """Record again what a model's training data looks like, render its card, and return the card's path.

    For images, adds ``appearance`` to the provenance and the picture of training samples; for tables, adds the columns,
    by whose names the SDK finds them. For both, draws the thumbnail and the curves of the training, and adds an example
    to the provenance. Every other file stays the same. Raises ExportError for a table whose features
    are no longer those that the model was trained on, DataError if the recipe's data is not available or has other
    classes, and CardError.
    """
    stored = open_stored(name)
    data = load_matching_data(stored.recipe.data, stored.config, data_dir)
    if stored.config.input.kind == "table":
        config = replace(stored.config, input=_with_columns(stored.config, data.input_spec))
    else:
        config = with_appearance(stored.config, data.train)
    model = open_best(stored.artifact)
    config = with_example(config, model, "test", data.test)
    with changing(stored, config) as new:
        draw_training_samples(new, config, data.train)
        draw_thumbnail(new, model, data.test)
        draw_curves(new)
    return stored.artifact.folder / CARD_FILE


def _with_columns(config: ArtifactConfig, found: InputSpec) -> InputSpec:
    """Return the input spec of the model with the columns of its data. Raises ExportError if the two do not fit."""
    spec, columns = config.input, found.columns
    same = (found.kind, found.shape, found.mean, found.std) == (spec.kind, spec.shape, spec.mean, spec.std)
    if not same or (spec.columns is not None and columns is not None and spec.columns.features != columns.features):
        raise ExportError(f"{config.name}: found a table of other columns or numbers than the model was trained on")
    return replace(spec, columns=columns)


def render_card(name: str) -> Path:
    """Draw the curves of a trained model's training, render its card again and return its path.

    Raises ExportError, CardError.
    """
    stored = open_stored(name)
    with changing(stored, stored.config) as new:
        draw_curves(new)
    return stored.artifact.folder / CARD_FILE
