"""The artifact of a finished training run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.artifacts.writer import write_artifact
from zoo.data.location import dataset_title
from zoo.training.result import SeedResult, TrainResult
from zoo.utils.provenance import gather_provenance


def export_run(
    result: TrainResult,
    out: Path,
    *,
    overwrite: bool = False,
    seeds: Sequence[SeedResult] = (),
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the artifact of a finished run to ``out`` and return the folder; ``seeds`` are the results of all seeds.

    ``facts`` are added to the provenance.

    Raises ExportError and CardError as :func:`zoo.artifacts.writer.write_artifact` does.
    """
    recipe = result.recipe
    return write_artifact(
        out,
        name=recipe.name,
        module=result.module,
        model_config=recipe.model,
        input_spec=result.data.input_spec,
        labels=result.data.labels,
        task=result.data.kind,
        metrics=_metrics(result, seeds),
        provenance={**_provenance(result), **(facts or {})},
        recipe_yaml=recipe.to_yaml(),
        licence=recipe.export.licence,
        history=result.history,
        formats=recipe.export.formats,
        training=result.data.train,
        test=result.data.test,
        overwrite=overwrite,
    )


def _metrics(result: TrainResult, seeds: Sequence[SeedResult]) -> dict[str, Any]:
    """Return the measurements of a run: its test, its validation, its seeds and what its learner found."""
    test = result.test
    return {
        "test_accuracy": test.accuracy,
        "test_correct": test.correct,
        "test_total": test.total,
        "test_interval_95": list(test.interval),
        "test_loss": test.loss,
        "validation_accuracy": result.validation.accuracy,
        **seed_metrics(seeds),
        **result.findings,
    }


def _provenance(result: TrainResult) -> dict[str, Any]:
    """Return where a run's model comes from: its recipe, its data, its cost, and the model that it started from."""
    recipe, parts = result.recipe, result.data
    data = {
        "name": dataset_title(recipe.data),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "test": len(parts.test),
    }
    return {
        **gather_provenance(recipe.to_yaml(), recipe.train.seed, result.steps, result.seconds, data),
        **({"cpu_seconds": round(result.cpu_seconds, 1)} if math.isfinite(result.cpu_seconds) else {}),
        **({"start_from": result.start.provenance()} if result.start is not None else {}),
    }


def seed_metrics(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Return the seeds' part of the metrics: their number and, for several, each test result, mean and deviation.

    The deviation is the sample standard deviation.
    """
    if len(results) < 2:
        return {"seeds": 1}
    accuracies = [result.accuracy for result in results]
    return {
        "seeds": len(results),
        "seed_results": [
            {"seed": one.seed, "accuracy": one.accuracy, "correct": one.correct, "total": one.total} for one in results
        ],
        "test_accuracy_mean": statistics.fmean(accuracies),
        "test_accuracy_std": statistics.stdev(accuracies),
    }
