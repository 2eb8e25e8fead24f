"""What there is: recipes beside trained models, and how a trained model does on its test data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sdk
from sdk.artifact import RECIPE_FILE
from sdk.catalogue import open_artifact
from zoo.data import load_data
from zoo.evaluate import evaluate_model
from zoo.recipe import load_recipe, recipe_names


def list_rows(family: str | None = None) -> list[dict[str, Any]]:
    """One row per recipe or bundled model: name, family, accuracy, parameters, size in bytes, backends."""
    models = {info.name: info for info in sdk.list_models()}
    rows = []
    for name in sorted({*recipe_names(), *models}):
        info = models.get(name)
        row = {
            "name": name,
            "family": info.family if info else load_recipe(name).model.family,
            "accuracy": info.metrics.get("test_accuracy") if info else None,
            "parameters": info.parameters if info else None,
            "size": info.size_bytes if info else None,
            "backends": list(info.backends) if info else None,
            "recipe": name in recipe_names(),
        }
        if family in (None, row["family"]):
            rows.append(row)
    if family is not None and not rows:
        raise ValueError(f"no model of family {family!r}; there are: {', '.join(sorted(_families()))}")
    return rows


def _families() -> set[str]:
    return {row["family"] for row in list_rows()}


def describe(name: str) -> dict[str, list[str]]:
    """A recipe (a name or a .yaml file) and the trained model of that name (or folder), as sections of text lines."""
    facts: dict[str, list[str]] = {}
    is_file = name.endswith((".yaml", ".yml"))
    trained = name in {info.name for info in sdk.list_models()} or Path(name).is_dir() or "/" in name
    if trained and not is_file:
        model = sdk.load(name)
        config = model.config
        facts["model"] = [
            f"name: {config.name}",
            f"family: {config.family}",
            f"parameters: {config.parameters:,}",
            f"licence: {config.licence}",
            f"input: {config.input.kind} {list(config.input.shape)}",
            f"labels: {', '.join(config.labels)}",
            f"backend: {model.backend}",
        ]
        facts["metrics"] = [f"{key}: {value}" for key, value in config.metrics.items()]
        facts["provenance"] = [f"{key}: {value}" for key, value in config.provenance.items()]
    if is_file or name in recipe_names():
        facts["recipe"] = load_recipe(name).to_yaml().splitlines()
    if not facts:
        known = sorted({*recipe_names(), *(info.name for info in sdk.list_models())})
        raise ValueError(f"no recipe or model named {name!r}; there are: {', '.join(known)}")
    return facts


def evaluate_artifact(
    name: str, backend: str = "auto", device: str | None = None, data_dir: Path | None = None
) -> dict[str, Any]:
    """Accuracy on the test data of the recipe stored with the model, through the SDK as a user calls it."""
    model = sdk.load(name, backend=backend, device=device)
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
