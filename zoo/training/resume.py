"""Compares a run that is resumed with its start: recipe and data must be the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.data.fingerprint import Fingerprint, describe_difference
from zoo.recipe import Recipe, stored_recipe
from zoo.training.checkpoint import load_checkpoint, no_checkpoint
from zoo.training.result import CHECKPOINT_FILE
from zoo.training.run_folder import seed_folders
from zoo.utils.errors import CheckpointError, TrainingError

FREE_KEYS = ("data.workers", "train.log_every", "train.eval_batch_size")
"""Keys that change the speed or the log of a training, and not its weights."""
NO_FINGERPRINT = "the checkpoint is older than fingerprints of data: nothing says whether the data are still the same"


def recipe_of_run(run_dir: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe in the checkpoint of a run, or of the first of its seeds; ``overrides`` change it.

    Raises TrainingError if the folder has no checkpoint or does not say the recipe's name.
    """
    folder = _first_checkpoint(run_dir)
    saved = load_checkpoint(folder)
    by_time = re.fullmatch(r"(.+)-\d{8}-\d{6}", run_dir.resolve().name)  # as zoo train names a folder
    name = saved.get("name") or (by_time and by_time[1])
    if not name:
        raise TrainingError(
            f"{run_dir} does not say its recipe's name, because an older cellzoo made it; "
            f"run `zoo train RECIPE --resume {run_dir}`"
        )
    return stored_recipe(saved["recipe"], folder / CHECKPOINT_FILE, overrides).model_copy(update={"name": name})


def check_same_name(recipe: Recipe, run_dir: Path) -> None:
    """Raise TrainingError if ``run_dir`` holds a run of a recipe with another name."""
    name = load_checkpoint(_first_checkpoint(run_dir)).get("name", recipe.name)
    if name != recipe.name:
        raise TrainingError(f"cannot resume {run_dir}, a run of {name}, as {recipe.name}; leave out the recipe")


def check_same_recipe(recipe: Recipe, saved: dict[str, Any], run_dir: Path) -> None:
    """Raise TrainingError unless the recipe in ``saved``, the checkpoint of ``run_dir``, trains as ``recipe`` does.

    FREE_KEYS and the export section may differ, except for the weights that are tested: a choice between them, made
    after a test, would be one on the test part. The place of the data may differ if the checkpoint has their
    fingerprint, by which they are compared.
    """
    ours, theirs = (
        _flatten({**tree, "export": {"which": tree.get("export", {}).get("which", "last")}})
        for tree in (recipe.to_dict(), saved["recipe"])
    )
    free = (*FREE_KEYS, "data.path") if saved.get("data") else FREE_KEYS
    differing = [
        f"{key} is {ours.get(key)}, was {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key not in free
    ]
    if differing:
        raise TrainingError(
            f"cannot resume {run_dir} with another recipe: {'; '.join(differing)}"
            "; with --resume alone, the run continues with its own recipe"
        )


def check_same_data(found: Fingerprint, saved: dict[str, Any], run_dir: Path) -> str:
    """Raise TrainingError unless the data are those of ``saved``, the checkpoint of ``run_dir``.

    Return a note for a checkpoint that does not say what its data were, else "".
    """
    before = saved.get("data")
    if not before:
        return f"{run_dir}: {NO_FINGERPRINT}"
    differing = describe_difference(before, found)
    if differing:
        raise TrainingError(
            f"cannot resume {run_dir} with other data: {'; '.join(differing)}; "
            "restore the data, or start a new run with them"
        )
    return ""


def _first_checkpoint(run_dir: Path) -> Path:
    """Return the folder with the checkpoint of a run, or of the first of its seeds that has one."""
    for folder in (run_dir, *seed_folders(run_dir).values()):
        if (folder / CHECKPOINT_FILE).is_file():
            return folder
    raise CheckpointError(no_checkpoint(run_dir))


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
