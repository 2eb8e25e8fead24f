"""Evaluate a trained model on its test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import sdk
from sdk.artifact import RECIPE_FILE
from sdk.errors import LoadError
from sdk.resolve import open_artifact
from zoo.data import load_data
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.recipe import load_recipe
from zoo.training.result import Evaluation


def evaluate_model(model: sdk.Model, split: Split, batch_size: int) -> Evaluation:
    """Evaluate a loaded model on a split through the SDK, on raw inputs as a user would pass them."""
    correct, loss = 0, 0.0
    for batch in evaluation_batches(len(split), batch_size):
        inputs, labels = split[batch]
        logits = torch.from_numpy(model.logits(inputs.numpy(), batch_size, invert=False))
        correct += int((logits.argmax(-1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return Evaluation(correct, len(split), loss / max(1, len(split)))


def evaluate_artifact(
    name: str, backend: str = "auto", device: str | None = None, data_dir: Path | None = None
) -> dict[str, Any]:
    """Evaluate a model on the test split of its stored recipe, and compare the counts with the recorded ones.

    The result is JSON-compatible; ``reproduced`` is True if correct and total are those in config.json. Raises
    LoadError, ArtifactError or DataError.
    """
    model = sdk.load(name, backend=backend, device=device)
    if RECIPE_FILE not in model.config.files:
        raise LoadError(f"{model.name}: found no recipe: it was trained outside the zoo's loop; evaluate it in yours")
    recipe = load_recipe(open_artifact(model.origin, lambda config: [RECIPE_FILE]).file(RECIPE_FILE))
    test = load_data(recipe.data, data_dir).test
    measured = evaluate_model(model, test, recipe.train.eval_batch_size)
    recorded = model.metrics
    same = (measured.correct, measured.total) == (recorded.get("test_correct"), recorded.get("test_total"))
    return {
        "name": model.name,
        "backend": model.backend,
        "accuracy": measured.accuracy,
        "correct": measured.correct,
        "total": measured.total,
        "interval": list(measured.interval),
        "recorded_correct": recorded.get("test_correct"),
        "recorded_total": recorded.get("test_total"),
        "reproduced": same,
    }
