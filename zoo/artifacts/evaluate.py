"""Evaluate a trained model on its test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import sdk
from sdk.artifact import RECIPE_FILE, ArtifactConfig
from sdk.backends import backend_file, choose_backend
from sdk.column_types import listed
from sdk.errors import LoadError
from sdk.inputs import InputSpec
from sdk.loading import open_model
from sdk.resolve import open_artifact
from zoo.data import load_data
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.recipe import load_recipe
from zoo.training.result import Evaluation
from zoo.utils.errors import DataError
from zoo.utils.progress import Progress, no_progress


def evaluate_model(model: sdk.Model, split: Split, batch_size: int, progress: Progress = no_progress) -> Evaluation:
    """Evaluate a loaded model on a split through the SDK, on raw inputs as a user would pass them."""
    correct, loss = 0, 0.0
    for number, batch in enumerate(evaluation_batches(len(split), batch_size)):
        progress("evaluating the test split", number * batch_size, len(split))
        inputs, labels = split[batch]
        logits = torch.from_numpy(model.logits(inputs.numpy(), batch_size, invert=False))
        correct += int((logits.argmax(-1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return Evaluation(correct, len(split), loss / max(1, len(split)))


def check_columns(config: ArtifactConfig, found: InputSpec) -> None:
    """Raise DataError for a table that now has other columns or categories than the model was trained on."""
    known, columns = config.input.columns, found.columns
    if known is None or columns is None or known.features == columns.features:
        return
    lost = [name for name in known.features if name not in columns.features]
    new = [name for name in columns.features if name not in known.features]
    changes = [f"{what} {listed(names)}" for what, names in (("no", lost), ("new", new)) if names]
    raise DataError(
        f"{config.name}: found other columns than those that it was trained on: "
        f"{' and '.join(changes) or 'another order'}; evaluate it on its own data"
    )


def evaluate_artifact(
    name: str,
    backend: str = "auto",
    device: str | None = None,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Evaluate a model on the test split of its stored recipe, and compare the counts with the recorded ones.

    The name is resolved once: weights, recipe and recorded counts are those of one artifact, named by ``origin``. The
    result is JSON-compatible; ``reproduced`` is True if correct and total are those in config.json. Raises LoadError,
    ArtifactError or DataError.
    """

    def files(config: ArtifactConfig) -> list[str]:
        if RECIPE_FILE not in config.files:
            raise LoadError(
                f"{config.name}: found no recipe: it was trained outside the zoo's loop; evaluate it in yours"
            )
        return [backend_file(choose_backend(config, backend)), RECIPE_FILE]

    artifact = open_artifact(name, files)
    model = open_model(artifact, choose_backend(artifact.config, backend), device=device)
    recipe = load_recipe(artifact.file(RECIPE_FILE))
    progress(f"loading {recipe.data.name}")
    data = load_data(recipe.data, data_dir)
    check_columns(artifact.config, data.input_spec)
    test = data.test
    measured = evaluate_model(model, test, recipe.train.eval_batch_size, progress)
    recorded = artifact.config.metrics
    same = (measured.correct, measured.total) == (recorded.get("test_correct"), recorded.get("test_total"))
    return {
        "name": model.name,
        "origin": artifact.origin,
        "backend": model.backend,
        "accuracy": measured.accuracy,
        "correct": measured.correct,
        "total": measured.total,
        "interval": list(measured.interval),
        "recorded_correct": recorded.get("test_correct"),
        "recorded_total": recorded.get("test_total"),
        "reproduced": same,
    }
