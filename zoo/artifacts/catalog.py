"""The catalog: recipes and trained models by name, and the facts about each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sdk
from sdk.artifact import RECIPE_FILE
from sdk.backends import backends_of
from sdk.errors import LoadError
from sdk.resolve import open_artifact
from zoo.recipe import load_recipe, recipe_names


def list_rows(family: str | None = None) -> list[dict[str, Any]]:
    """Return one row per recipe or bundled model: name, family, accuracy, parameters, size in bytes, backends, recipe.

    Raises LoadError if no model belongs to ``family``.
    """
    models = {info.name: info for info in sdk.list_models()}
    recipes = recipe_names()
    rows: list[dict[str, Any]] = []
    for name in sorted({*recipes, *models}):
        info = models.get(name)
        rows.append(
            {
                "name": name,
                "family": info.family if info else load_recipe(name).model.family,
                "accuracy": info.metrics.get("test_accuracy") if info else None,
                "parameters": info.parameters if info else None,
                "size": info.size_bytes if info else None,
                "backends": list(info.backends) if info else None,
                "recipe": name in recipes,
            }
        )
    chosen = [row for row in rows if family in (None, row["family"])]
    if not chosen and family is not None:
        families = sorted({row["family"] for row in rows})
        raise LoadError(f"no model of family {family!r}; known families: {', '.join(families)}")
    return chosen


def describe(name: str) -> dict[str, Any]:
    """Return the facts about a recipe (a name or a .yaml file) and about the trained model (a name or a folder).

    ``model`` holds config.json without its list of files, plus backends and origin; ``recipe`` holds the recipe with
    all defaults. A key is absent if the name has no such part. Raises LoadError if it has neither.
    """
    facts: dict[str, Any] = {}
    is_file = name.endswith((".yaml", ".yml"))
    trained = name in {info.name for info in sdk.list_models()} or Path(name).is_dir() or "/" in name
    if trained and not is_file:
        artifact = open_artifact(name, lambda config: [RECIPE_FILE] if RECIPE_FILE in config.files else [])
        config = artifact.config.to_json()
        del config["files"]
        facts["model"] = {**config, "backends": list(backends_of(artifact.config)), "origin": artifact.origin}
    if is_file or name in recipe_names():
        facts["recipe"] = load_recipe(name).to_dict()
    if not facts:
        known = sorted({*recipe_names(), *(info.name for info in sdk.list_models())})
        raise LoadError(f"no recipe or model named {name!r}; known: {', '.join(known)}")
    return facts
