"""One trial of a sweep: a recipe trained with every seed, validated, and ended early if it falls behind."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from zoo.sweep.folder import (
    ACCURACIES,
    ERROR,
    LOSS,
    Settings,
    naming_storage,
    open_storage,
    run_folders,
    trial_folder,
)
from zoo.training.loop import validate_held
from zoo.training.result import CHECKPOINT_FILE
from zoo.training.run import Callback, Run
from zoo.training.run_folder import hold
from zoo.utils.errors import RecipeError, RunFolderError, TrainingError, TrainingInterruptedError

STUDY = "sweep"


@dataclass(frozen=True)
class Task:
    """The trial to run, as a process of its own needs it."""

    folder: Path
    settings: Settings
    number: int
    trial_id: int
    data_dir: Path | None
    device: str | None


@dataclass(frozen=True)
class Outcome:
    """The end of a trial."""

    number: int
    state: optuna.trial.TrialState
    value: float | None = None
    """Mean validation accuracy of the seeds."""


class _Watch(Callback):
    """Reports each round's validation to Optuna, and ends the run if Optuna would prune it."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_start(self, run: Run) -> None:
        for number, record in enumerate(run.history, start=1):
            self.trial.report(record["validation_accuracy"], number)

    def on_round_end(self, run: Run, record: dict[str, Any]) -> None:
        self.trial.report(record["validation_accuracy"], len(run.history))
        if run.step < run.total_steps and self.trial.should_prune():
            raise optuna.TrialPruned


def pruner(settings: Settings) -> optuna.pruners.BasePruner:
    """Return the rule that ends trials: from the second round on, below the median of three or more others."""
    return optuna.pruners.MedianPruner(3, n_warmup_steps=2) if settings.prune else optuna.pruners.NopPruner()


def run_trial(task: Task) -> Outcome:
    """Train every seed of a trial. Only the first seed's rounds are compared with other trials.

    A run that fails makes a failed trial, whose reason the study stores. Raises TrainingInterruptedError, and errors
    that would end every other trial too, such as DataError, RunFolderError and SweepError.
    """
    with naming_storage(task.folder):
        return _run_trial(task)


def _run_trial(task: Task) -> Outcome:
    settings = task.settings
    study = optuna.load_study(study_name=STUDY, storage=open_storage(task.folder), pruner=pruner(settings))
    trial = optuna.Trial(study, task.trial_id)
    values = dict(trial.params)
    folders = run_folders(trial_folder(task.folder, trial), settings.seeds)
    accuracies: list[float] = []
    losses: list[float] = []
    try:
        for seed, folder in folders.items():
            resume = (folder / CHECKPOINT_FILE).is_file()
            with hold([folder], resume):
                validation = validate_held(
                    settings.with_seed(values, seed),
                    run_dir=folder,
                    resume=resume,
                    progress=False,
                    data_dir=task.data_dir,
                    device=task.device,
                    callbacks=() if accuracies else (_Watch(trial),),
                )
            accuracies.append(validation.accuracy)
            losses.append(validation.loss)
    except optuna.TrialPruned:
        return Outcome(task.number, optuna.trial.TrialState.PRUNED)
    except (TrainingInterruptedError, RunFolderError):
        raise
    except (TrainingError, RecipeError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # torch's errors of a device that is full
            raise
        trial.set_user_attr(ERROR, " ".join(str(error).split()) or "out of memory")
        return Outcome(task.number, optuna.trial.TrialState.FAIL)
    trial.set_user_attr(ACCURACIES, accuracies)
    trial.set_user_attr(LOSS, statistics.fmean(losses))
    return Outcome(task.number, optuna.trial.TrialState.COMPLETE, statistics.fmean(accuracies))
