"""Training one recipe with several seeds, each in its own run folder; the first seed's model becomes the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.recipe import Recipe
from zoo.training.checkpoint import CHECKPOINT_FILE, load_checkpoint
from zoo.training.loop import train
from zoo.training.metrics_log import read_test
from zoo.training.result import SeedResult, TrainResult
from zoo.training.run_folder import check_claimable, check_same_recipe, seed_folders
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
    if resume and not any((folder / CHECKPOINT_FILE).is_file() for folder in folders.values()):
        found = ", ".join(seed_folders(run_dir))
        advice = f"it holds {found}; say how many seeds to train with --seeds N" if found else "nothing to resume"
        raise TrainingError(f"no checkpoint in {run_dir}: {advice}")
    if resume:
        check_same_source(first, [folders[one.train.seed] for one in (first, *others)])
    finished = {one.train.seed: _finished(one, folders[one.train.seed], resume) for one in (first, *others)}

    def run(one: Recipe, **more: Any) -> TrainResult:
        folder = folders[one.train.seed]
        continues = resume and (folder / CHECKPOINT_FILE).is_file()
        return train(one, run_dir=folder, resume=continues, **more, **options)

    result = run(first, check=check)  # a finished run is loaded and tested again, for its weights
    results = [_seed_result(result)]
    for one in others:
        results.append(finished[one.train.seed] or _seed_result(run(one)))
    return result, results


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def _seed_result(result: TrainResult) -> SeedResult:
    return SeedResult(result.recipe.train.seed, result.test.correct, result.test.total)


def _finished(recipe: Recipe, folder: Path, resume: bool) -> SeedResult | None:
    """Return the test counts in a finished seed's folder, else None; raise TrainingError if the folder is unusable."""
    if not resume:
        check_claimable(folder)
        return None
    if not (folder / CHECKPOINT_FILE).is_file():
        return None
    check_same_recipe(recipe, load_checkpoint(folder)["recipe"], folder)
    record = read_test(folder)
    return SeedResult(recipe.train.seed, record["correct"], record["total"]) if record else None
