"""The catalog: recipes and trained models by name, and the facts about each."""

from __future__ import annotations

import os
from typing import Any

from sdk.artifact import RECIPE_FILE, Artifact
from sdk.backends import backends_of
from sdk.catalog import ModelInfo, bundled_models, own_infos, own_models, read_info
from sdk.errors import LoadError
from sdk.resolve import BUNDLED_PREFIX, local_models, open_artifact
from sdk.validation import hint
from zoo.families.registry import family_names, get_family
from zoo.recipe import load_recipe, recipe_names
from zoo.recipe.reading import read_tree


def list_rows(family: str | None = None) -> list[dict[str, Any]]:
    """Return one row per trained model, and per recipe without one, sorted by name.

    A row has name, where, family, baseline, accuracy, parameters, size in bytes, backends, recipe, shadowed and
    damaged. ``where`` is "own", "bundled" or None; ``baseline`` is True for an ordinary network to compare with;
    ``recipe`` is True if a recipe of this name ships; ``shadowed`` is True for a bundled model whose name means an own
    one; ``damaged`` is the reason why an own model cannot be used, else None. Raises LoadError if no model belongs to
    ``family``, and ArtifactError if a bundled model is damaged.
    """
    own, damaged = own_infos()
    own_names = {info.name for info in own}
    bundled = [read_info(path, "bundled") for path in bundled_models().values()]
    recipes = recipe_names()
    rows = [_model_row(info, info.name in recipes, info.where == "bundled" and info.name in own_names)
            for info in (*own, *bundled)]  # fmt: skip
    rows += [_empty_row(path.name, "own", None, recipe=path.name in recipes) | {"damaged": str(error)}
             for path, error in damaged.items()]  # fmt: skip
    listed = {row["name"] for row in rows}
    rows += [_empty_row(name, None, load_recipe(name).model.family, recipe=True)
             for name in recipes if name not in listed]  # fmt: skip
    rows.sort(key=lambda row: row["name"])
    chosen = [row for row in rows if family in (None, row["family"])]
    if not chosen and family is not None:
        families = sorted({row["family"] for row in rows if row["family"]})
        raise LoadError(f"no model of family {family!r}{hint(family, families)}; known families: {', '.join(families)}")
    return chosen


def describe(name: str) -> dict[str, Any]:
    """Return the facts about a recipe (a name or a .yaml file) and about the trained model (a name or a folder).

    ``model`` holds config.json without its list of files, plus backends and origin; ``recipe`` holds the recipe that
    made the model or, without a model, the shipped recipe with all defaults. A key is absent if the name has no such
    part. Raises LoadError if it has neither.
    """
    if name.endswith((".yaml", ".yml")):
        return {"recipe": load_recipe(name).to_dict()}
    facts: dict[str, Any] = {}
    if "/" in name or name.startswith(BUNDLED_PREFIX) or os.path.isdir(name) or local_models(name):
        artifact = open_artifact(name, lambda config: [RECIPE_FILE] if RECIPE_FILE in config.files else [])
        config = artifact.config.to_json()
        del config["files"]
        facts["model"] = {
            **config,
            "baseline": is_baseline(artifact.config.family),
            "backends": list(backends_of(artifact.config)),
            "origin": artifact.origin,
        }
        if RECIPE_FILE in artifact.config.files:
            facts["recipe"] = _recipe_of(artifact)
    elif name in recipe_names():
        facts["recipe"] = load_recipe(name).to_dict()
    else:
        known = sorted({*recipe_names(), *bundled_models(), *own_models()})
        raise LoadError(f"no recipe or model named {name!r}{hint(name, known)}; `zoo list` shows all of them")
    return facts


def is_baseline(family: str | None) -> bool:
    """Return True for a family of ordinary networks; False for one that this version does not know."""
    return family in family_names() and get_family(str(family)).baseline


def _model_row(info: ModelInfo, recipe: bool, shadowed: bool) -> dict[str, Any]:
    return _empty_row(info.name, info.where, info.family, recipe=recipe) | {
        "accuracy": info.metrics.get("test_accuracy"),
        "parameters": info.parameters,
        "size": info.size_bytes,
        "backends": list(info.backends),
        "shadowed": shadowed,
    }


def _empty_row(name: str, where: str | None, family: str | None, *, recipe: bool) -> dict[str, Any]:
    return {
        "name": name,
        "where": where,
        "family": family,
        "baseline": is_baseline(family),
        "accuracy": None,
        "parameters": None,
        "size": None,
        "backends": None,
        "recipe": recipe,
        "shadowed": False,
        "damaged": None,
    }


def _recipe_of(artifact: Artifact) -> dict[Any, Any]:
    """Return the sections in the artifact's recipe.yaml as they are: another version may have written them."""
    return read_tree(artifact.file(RECIPE_FILE))
