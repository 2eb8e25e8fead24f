"""Training one recipe with several seeds, each in its own run folder; the first seed's model becomes the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.recipe import Recipe
from zoo.training.checkpoint import load_checkpoint, no_checkpoint
from zoo.training.loop import train_held
from zoo.training.metrics_log import read_test
from zoo.training.result import CHECKPOINT_FILE, SeedResult, TrainResult
from zoo.training.resume import check_same_data, check_same_recipe, recipe_of_run
from zoo.training.run_folder import hold, seed_folders
from zoo.training.setup import Check
from zoo.training.start_from import check_same_source
from zoo.utils.errors import TrainingError


def train_seeds(
    recipe: Recipe,
    seeds: int = 1,
    *,
    run_dir: Path,
    resume: bool = False,
    check: Check | None = None,
    **options: Any,
) -> tuple[TrainResult, list[SeedResult]]:
    """Train with the recipe's seed ``s`` and the ``seeds - 1`` that follow; return the result of ``s`` and all counts.

    A single seed uses ``run_dir`` itself, several use ``run_dir/seed-N``. ``resume`` keeps finished runs, continues
    those that have a checkpoint and starts the others; ``run_dir`` may then also be a run of ``s`` alone, to which
    seeds are added. ``check`` is called before the first run alone, whose module becomes the artifact; the other
    ``options`` are those of :func:`zoo.training.loop.train`. Raises the errors of that function, and
    TrainingError before any training if one of the folders cannot be used.
    """
    first, *others = [_with_seed(recipe, recipe.train.seed + i) for i in range(seeds)]
    grown = resume and (run_dir / CHECKPOINT_FILE).is_file()
    folders = {one.train.seed: run_dir / f"seed-{one.train.seed}" for one in others}
    folders[first.train.seed] = run_dir if seeds == 1 or grown else run_dir / f"seed-{first.train.seed}"
    if resume and not any(map(_has_checkpoint, folders.values())):
        found = ", ".join(name for name, folder in seed_folders(run_dir).items() if _has_checkpoint(folder))
        if not found:
            raise TrainingError(no_checkpoint(run_dir))
        raise TrainingError(f"no checkpoint in {run_dir}: it holds {found}; say how many seeds to train with --seeds N")
    # A new run takes the whole folder, so that no earlier run in it is taken for a part of this one.
    taken = [run_dir, *folders.values(), *([] if resume else seed_folders(run_dir).values())]
    with hold(dict.fromkeys(taken), resume):
        if resume:
            check_same_source(first, [folders[one.train.seed] for one in (first, *others)])
        finished = {one.train.seed: _finished(one, folders[one.train.seed], resume) for one in (first, *others)}

        def run(one: Recipe, **more: Any) -> TrainResult:
            folder = folders[one.train.seed]
            return train_held(one, run_dir=folder, resume=resume and _has_checkpoint(folder), **more, **options)

        result = run(first, check=check)  # a finished run is loaded and tested again, for its weights
        results = [_seed_result(result)]
        for one in others:
            done = finished[one.train.seed]
            if done is not None:
                _check_same_data(folders[first.train.seed], folders[one.train.seed])
            results.append(done or _seed_result(run(one)))
        return result, results


def load_finished(
    run_dir: Path, *, data_dir: str | Path | None = None, device: str | None = None
) -> tuple[TrainResult, list[SeedResult]]:
    """Load a finished run, test its model again, and return what :func:`train_seeds` returned for it.

    Raises TrainingError for a run of which a seed has not finished, and CheckpointError for a folder without a run.
    """
    folders = [folder for folder in (run_dir, *seed_folders(run_dir).values()) if _has_checkpoint(folder)]
    for folder in folders:
        saved = load_checkpoint(folder)
        if saved["step"] < saved["total_steps"]:
            raise TrainingError(
                f"{folder} has stopped at step {saved['step']} of {saved['total_steps']}; finish it with "
                f"`zoo train --resume {run_dir}`"
            )
    recipe = recipe_of_run(run_dir)
    return train_seeds(
        recipe, max(1, len(folders)), run_dir=run_dir, resume=True, progress=False, data_dir=data_dir, device=device
    )


def _has_checkpoint(folder: Path) -> bool:
    return (folder / CHECKPOINT_FILE).is_file()


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def _seed_result(result: TrainResult) -> SeedResult:
    return SeedResult(result.recipe.train.seed, result.test.correct, result.test.total)


def _finished(recipe: Recipe, folder: Path, resume: bool) -> SeedResult | None:
    """Return the test counts in a finished seed's folder, else None; raise TrainingError if the folder is unusable."""
    if not resume or not _has_checkpoint(folder):
        return None
    saved = load_checkpoint(folder)
    check_same_recipe(recipe, saved, folder)
    record = read_test(folder) if saved["step"] >= saved["total_steps"] else None
    return SeedResult(recipe.train.seed, record["correct"], record["total"]) if record else None


def _check_same_data(first: Path, other: Path) -> None:
    """Raise TrainingError if the runs in two folders had other data; the first has just been compared with the data."""
    found = load_checkpoint(first).get("data")
    if found:
        check_same_data(found, load_checkpoint(other), other)
