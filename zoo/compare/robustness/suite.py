"""``zoo probe NAME --suite robustness``: all probes of one model, and their results as plain JSON values.

Numbers that depend on chance are means over three seeds. Choices are made on the validation split, results are those of
the test split. A probe that a model has no meaning for, such as corrupted images for a table, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

import sdk
from sdk.artifact import ONNX_FILE, RECIPE_FILE, WEIGHTS_FILE, ArtifactConfig
from sdk.resolve import open_artifact
from sdk.tasks import check_classifier
from zoo.artifacts.matching import load_matching_data
from zoo.artifacts.stored_recipe import recipe_of_artifact
from zoo.compare.measure import data_name, model_hash
from zoo.compare.robustness import weights
from zoo.compare.robustness.calibration import expected_error, fit_temperature
from zoo.compare.robustness.corruptions import KINDS, corrupt, delete_pixels
from zoo.compare.robustness.early import early_answers
from zoo.compare.robustness.retraining import few_shot, forgetting, repair
from zoo.compare.robustness.settings import BITS, FRACTIONS, REPAIRED, SAMPLES, SEEDS, SEVERITIES, SHARES
from zoo.config.data import FashionMnistConfig
from zoo.data import load_data
from zoo.data.sampling import Batch
from zoo.data.split import Data, Split
from zoo.utils.errors import CompareError
from zoo.utils.progress import Progress, no_progress
from zoo.utils.provenance import now

PROBES = ("corruption", "weights", "calibration", "early", "repair", "forgetting", "transfer")
Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def run_suite(
    name: str, data_dir: Path | None = None, probes: Iterable[str] = PROBES, progress: Progress = no_progress
) -> tuple[str, dict[str, Any]]:
    """Run the probes on a model (a name, a folder or a Hub id); return its name and the findings.

    Raises CompareError for a model without recipe, ONNX graph or weights, LoadError, ArtifactError and DataError.
    """
    artifact = open_artifact(name, _needed)
    config, recipe = artifact.config, artifact.file(RECIPE_FILE)
    check_classifier("zoo probe --suite", config.name, config.task)
    section = recipe_of_artifact(artifact).data
    progress(f"loading {section.name}")
    data = load_matching_data(section, config, data_dir)
    graph = onnx.load(str(artifact.file(ONNX_FILE)))
    raw, labels = _sample(data.test, SAMPLES)
    found: dict[str, Any] = {"data": data_name(section), "model_hash": model_hash(config), "samples": len(labels)}
    asked = set(probes)
    logits = weights.runner(graph)
    found["accuracy"] = _accuracy(logits, data.test, raw, labels)
    if "corruption" in asked and config.input.kind == "image":
        progress(f"{config.name}: corrupted images")
        found |= _corruption(logits, data.test, raw, labels)
    if "weights" in asked:
        progress(f"{config.name}: damaged weights")
        found |= _weights(graph, data.test, raw, labels)
    if "calibration" in asked:
        found["calibration"] = _calibration(logits, data, raw, labels)
    if "early" in asked:
        early = early_answers(sdk.load(str(artifact.folder), backend="torch"), raw.numpy(), labels.numpy())
        found |= {"early": early} if early else {}
    if config.family == "nca":
        return config.name, {**found, "date": now()}  # its weights are grown by a rule, not trained on samples
    if "repair" in asked:
        progress(f"{config.name}: repair")
        folder = str(artifact.folder)
        found["repaired"] = [
            round(fmean(repair(folder, recipe, data, fraction, seed) for seed in SEEDS), 4) for fraction in REPAIRED
        ]
    if "forgetting" in asked:
        progress(f"{config.name}: forgetting")
        found["forgetting"] = _means(forgetting(str(artifact.folder), recipe, data, seed) for seed in SEEDS)
    if "transfer" in asked and section.name == "mnist":
        progress(f"{config.name}: transfer to Fashion-MNIST")
        target = load_data(FashionMnistConfig(name="fashion_mnist"), data_dir)
        found["transfer"] = _means(few_shot(str(artifact.folder), recipe, target, seed) for seed in SEEDS)
    return config.name, {**found, "date": now()}


def _needed(config: ArtifactConfig) -> list[str]:
    lacking = [file for file in (RECIPE_FILE, ONNX_FILE, WEIGHTS_FILE) if file not in config.files]
    if lacking:
        raise CompareError(f"{config.name}: found no {', '.join(lacking)}; the suite needs all three")
    return [RECIPE_FILE, ONNX_FILE, WEIGHTS_FILE]


def _sample(split: Split, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:count]
    return split[Batch(order)]


def _accuracy(logits: Logits, split: Split, raw: torch.Tensor, labels: torch.Tensor) -> float:
    found = logits(split.prepare(raw).numpy()).argmax(-1) == labels.numpy()
    return round(float(found.mean()), 4)


def _corruption(logits: Logits, split: Split, raw: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    def measured(change: Callable[[int], torch.Tensor]) -> float:
        return round(fmean(_accuracy(logits, split, change(seed), labels) for seed in SEEDS), 4)

    return {
        "corruption": {
            kind: [measured(lambda seed, k=kind, s=severity: corrupt(raw, k, s, seed)) for severity in SEVERITIES]  # type: ignore[misc]
            for kind in KINDS
        },
        "pixels": [measured(lambda seed, s=share: delete_pixels(raw, s, seed)) for share in SHARES],  # type: ignore[misc]
    }


def _weights(graph: onnx.ModelProto, split: Split, raw: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    def measured(change: weights.Change) -> float:
        return _accuracy(weights.runner(graph, change), split, raw, labels)

    return {
        "damage": [
            round(fmean(measured(weights.delete_random(fraction, seed)) for seed in SEEDS), 4) for fraction in FRACTIONS
        ],
        "pruning": [measured(weights.delete_smallest(fraction)) for fraction in FRACTIONS],
        "quantised": [measured(weights.quantise(bits)) for bits in BITS],
    }


def _calibration(logits: Logits, data: Data, raw: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return the expected calibration error on test, as it is and with the temperature of validation."""
    held, held_labels = _sample(data.validation, SAMPLES)
    temperature = fit_temperature(logits(data.validation.prepare(held).numpy()), held_labels.numpy())
    found = logits(data.test.prepare(raw).numpy())
    return {
        "error": round(expected_error(found, labels.numpy()), 4),
        "temperature": round(temperature, 4),
        "error_scaled": round(expected_error(found, labels.numpy(), temperature), 4),
    }


def _means(runs: Iterable[dict[str, float]]) -> dict[str, float]:
    found = list(runs)
    return {key: round(fmean(one[key] for one in found), 4) for key in found[0]}
