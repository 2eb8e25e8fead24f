"""The run folder: claim it for a new run, protect an unfinished one, and match a resumed one with its recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.artifact import RECIPE_FILE
from zoo.recipe import Recipe, load_recipe
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint
from zoo.utils.errors import TrainingError


def claim(run_dir: Path, recipe: Recipe, resume: bool) -> None:
    """Create ``run_dir`` if needed and write ``recipe.yaml``; a new run also removes an older checkpoint.

    Raises TrainingError if a new run would destroy an unfinished one, or if the folder cannot be written.
    """
    if not resume:
        check_claimable(run_dir)
    if run_dir.is_file():
        raise TrainingError(f"cannot write to {run_dir}: it is a file; give the run a folder")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not resume:
            (run_dir / CHECKPOINT_FILE).unlink(missing_ok=True)
        (run_dir / RECIPE_FILE).write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"cannot write to {run_dir}: {error.strerror or error}") from None


def recipe_of_run(run_dir: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load the recipe that a run, or the first of its seeds, was started with; ``overrides`` change it.

    Raises TrainingError if the folder has no checkpoint or does not say the recipe's name.
    """
    folder = _first_checkpoint(run_dir)
    by_time = re.fullmatch(r"(.+)-\d{8}-\d{6}", run_dir.resolve().name)  # as zoo train names a folder
    name = load_checkpoint(folder).get("name") or (by_time and by_time[1])
    if not name:
        raise TrainingError(
            f"{run_dir} does not say its recipe's name, because an older cellzoo made it; "
            f"run `zoo train RECIPE --resume {run_dir}`"
        )
    return load_recipe(folder / RECIPE_FILE, overrides).model_copy(update={"name": name})


def check_same_name(recipe: Recipe, run_dir: Path) -> None:
    """Raise TrainingError if ``run_dir`` holds a run of a recipe with another name."""
    name = load_checkpoint(_first_checkpoint(run_dir)).get("name", recipe.name)
    if name != recipe.name:
        raise TrainingError(f"cannot resume {run_dir}, a run of {name}, as {recipe.name}; leave out the recipe")


def _first_checkpoint(run_dir: Path) -> Path:
    """Return the folder with the checkpoint of a run, or of the first of its seeds that has one."""
    for folder in (run_dir, *seed_folders(run_dir).values()):
        if (folder / CHECKPOINT_FILE).is_file():
            return folder
    raise TrainingError(f"no checkpoint in {run_dir}: nothing to resume")


def seed_folders(run_dir: Path) -> dict[str, Path]:
    """Return the folders of the seeds of a run by name, such as seed-3, sorted by seed."""
    found = [path for path in run_dir.glob("seed-*") if re.fullmatch(r"seed-\d+", path.name)]
    return {path.name: path for path in sorted(found, key=lambda path: int(path.name.removeprefix("seed-")))}


def check_claimable(run_dir: Path) -> None:
    """Raise TrainingError if a new run in ``run_dir`` would destroy an unfinished one."""
    if (run_dir / CHECKPOINT_FILE).exists():
        old = load_checkpoint(run_dir)
        if old["step"] < old["total_steps"]:
            raise TrainingError(
                f"{run_dir} holds an unfinished run at step {old['step']} of {old['total_steps']}: "
                "resume it with --resume, or delete the folder"
            )


def check_same_recipe(recipe: Recipe, saved: dict[str, Any], run_dir: Path) -> None:
    """Raise TrainingError unless ``saved``, the recipe in the checkpoint of ``run_dir``, equals ``recipe``.

    The export section may differ: it controls the files that follow training, not the training.
    """
    ours, theirs = (_flatten({**tree, "export": {}}) for tree in (recipe.to_dict(), saved))
    differing = [
        f"{key} is {ours.get(key)}, was {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if differing:
        raise TrainingError(
            f"cannot resume {run_dir} with another recipe: {'; '.join(differing)}"
            "; with --resume alone, the run continues with its own recipe"
        )


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
