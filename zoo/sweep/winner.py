"""The end of a sweep: the winner is tested, once."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from zoo.sweep.folder import ACCURACIES, Settings, counted, run_folders, trial_folder
from zoo.training.loop import train_held
from zoo.training.result import TrainResult
from zoo.training.run_folder import hold


def test_winner(best: FrozenTrial, folder: Path, settings: Settings, **options: Any) -> TrainResult:
    """Load the model of the winner's first seed, which has taken its last step, and test it.

    ``options`` are those of :func:`zoo.training.loop.train`. Raises CheckpointError if the trial's folder is gone.
    """
    seed = settings.seeds[0]
    run_dir = run_folders(trial_folder(folder, best), settings.seeds)[seed]
    recipe = settings.with_seed(dict(best.params), seed)
    with hold([run_dir], resume=True):
        return train_held(recipe, run_dir=run_dir, resume=True, progress=False, **options)


def sweep_facts(study: optuna.Study, best: FrozenTrial, settings: Settings) -> dict[str, Any]:
    """Return what the provenance of the winner says about its choice: plain JSON values."""
    accuracies = best.user_attrs[ACCURACIES]
    return {
        "keys": settings.space.keys,
        "values": best.params,
        "trials": len(counted(study)),
        "states": dict(Counter(trial.state.name.lower() for trial in counted(study))),
        "seeds": list(settings.seeds),
        "validation_accuracies": accuracies,
        "validation_accuracy_mean": statistics.fmean(accuracies),
        "validation_accuracy_std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
    }
