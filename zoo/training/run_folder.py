"""The run folder: claim it for a new run, protect an unfinished one, and match a resumed one with its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.recipe import Recipe
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
        (run_dir / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"cannot write to {run_dir}: {error.strerror or error}") from None


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
        raise TrainingError(f"cannot resume {run_dir} with another recipe: {'; '.join(differing)}")


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
