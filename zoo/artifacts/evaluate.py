"""Evaluate a trained model on its test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sdk
from sdk.artifact import RECIPE_FILE, ArtifactConfig
from sdk.backends import backend_file, choose_backend, is_reduced
from sdk.errors import LoadError
from sdk.loading import open_model
from sdk.resolve import open_artifact
from sdk.tasks import LOSS_NAMES
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.onnx import TOLERANCE
from zoo.artifacts.stored_recipe import recipe_of_artifact
from zoo.data.sampling import evaluation_batches
from zoo.data.split import Split
from zoo.families.objective import OBJECTIVES
from zoo.training.result import Evaluation
from zoo.utils.progress import Progress, no_progress


@dataclass(frozen=True)
class Measured:
    """The evaluation of a model, and the counts that rounding alone could give."""

    evaluation: Evaluation
    least: int
    """Samples that are right whatever the rounding."""
    most: int
    """Samples that are right with some rounding."""

    def agrees_with(self, correct: object, total: object) -> bool:
        """Return True for recorded counts that differ from the measured ones by ties at most."""
        return total == self.evaluation.total and isinstance(correct, int) and self.least <= correct <= self.most


def evaluate_model(model: sdk.Model, split: Split, batch_size: int, progress: Progress = no_progress) -> Measured:
    """Evaluate a loaded model on a split through the SDK, on raw inputs as a user would pass them.

    A backend may round each output by the tolerance of an export: two classes tie if their logits differ by no more
    than twice that.
    """
    objective = OBJECTIVES[model.config.task]
    correct, least, most, loss = 0, 0, 0, 0.0
    for number, batch in enumerate(evaluation_batches(len(split), batch_size)):
        progress("evaluating the test split", number * batch_size, len(split))
        inputs, labels = split[batch]
        outputs = torch.from_numpy(model.logits(inputs.numpy(), batch_size, invert=False))
        target = objective.target(split.prepare(inputs), labels)
        certain, possible = objective.bounds(outputs, target, TOLERANCE)
        correct += int(objective.right(outputs, target).sum())
        least += int(certain.sum())
        most += int(possible.sum())
        loss += float(objective.loss(outputs, target, "sum"))
    return Measured(Evaluation(correct, len(split), loss / max(1, len(split))), least, most)


def evaluate_artifact(
    name: str,
    backend: str = "auto",
    device: str | None = None,
    data_dir: Path | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Evaluate a model on the test split of its stored recipe, and compare the counts with the recorded ones.

    The name is resolved once: weights, recipe and recorded counts are those of one artifact, named by ``origin``. The
    result is JSON-compatible; ``reproduced`` is True if the counts are those in config.json, up to ties. Raises
    LoadError, ArtifactError, or DataError for data that are missing or of other classes than the model's.
    """

    def files(config: ArtifactConfig) -> list[str]:
        if RECIPE_FILE not in config.files:
            raise LoadError(
                f"{config.name}: found no recipe: it was trained outside the zoo's loop; evaluate it in yours"
            )
        return [backend_file(choose_backend(config, backend)), RECIPE_FILE]

    artifact = open_artifact(name, files)
    model = open_model(artifact, choose_backend(artifact.config, backend), device=device)
    recipe = recipe_of_artifact(artifact)
    progress(f"loading {recipe.data.name}")
    test = load_matching_data(recipe.data, artifact.config, data_dir).test
    found = evaluate_model(model, test, recipe.train.eval_batch_size, progress)
    measured, recorded = found.evaluation, _recorded(artifact.config, model.backend)
    return {
        "name": model.name,
        "origin": artifact.origin,
        "backend": model.backend,
        "accuracy": measured.accuracy,
        "correct": measured.correct,
        "total": measured.total,
        "interval": list(measured.interval),
        "loss": measured.loss,
        "loss_name": LOSS_NAMES[artifact.config.task],
        "recorded_correct": recorded.get("test_correct"),
        "recorded_total": recorded.get("test_total"),
        "reproduced": found.agrees_with(recorded.get("test_correct"), recorded.get("test_total")),
    }


def _recorded(config: ArtifactConfig, backend: str) -> dict[str, Any]:
    """Return the measurements that the artifact records for a backend: those of reduced precision have their own."""
    if not is_reduced(backend):
        return config.metrics
    found: dict[str, Any] = (config.metrics.get("precisions") or {}).get(backend.removeprefix("onnx-"), {})
    return found
