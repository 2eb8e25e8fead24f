"""The course of a sweep: trials from Optuna until all are done, and a winner."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from zoo.sweep.folder import (
    CONTINUED,
    ERROR,
    FOLDER,
    LOSS,
    SETTINGS_FILE,
    STUDY_FILE,
    Settings,
    counted,
    naming_storage,
    open_storage,
    read_settings,
    trial_folder,
    write_settings,
)
from zoo.sweep.space import Space
from zoo.sweep.trial import STUDY, Task, pruner
from zoo.sweep.workers import workers
from zoo.utils.errors import NoWinnerError, SweepError
from zoo.utils.locks import LockedError, folder_lock
from zoo.utils.progress import Say, say_nothing

TRIAL_FOLDERS = "trial-*"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder, which one process at a time may write. Raises SweepError."""
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
        except LockedError as error:
            raise SweepError(f"{folder} is {error.strerror}; wait until it ends, or stop it") from None
        except OSError as error:
            raise SweepError(f"cannot write to {folder}: {error.strerror}; give another --sweep-dir") from None
        yield


def start_sweep(folder: Path, settings: Settings) -> optuna.Study:
    """Check that every value fits the recipe, write the settings and create the study.

    The folder is new or empty and held. Raises RecipeError and SweepError.
    """
    if any((folder / name).exists() for name in (SETTINGS_FILE, STUDY_FILE)):
        raise SweepError(f"{folder} holds a sweep; continue it with --resume {folder}, or give another --sweep-dir")
    if any(folder.glob(TRIAL_FOLDERS)):
        raise SweepError(f"{folder} holds the trials of another sweep; give another --sweep-dir")
    for values in settings.space.corners():
        settings.recipe_of(values)
    write_settings(folder, settings)
    with naming_storage(folder):
        return _open(folder, settings)


def resume_sweep(folder: Path) -> tuple[optuna.Study, Settings]:
    """Open the study of a folder that is held, and queue the trials again that a kill or an error ended.

    They continue from their checkpoints. Raises SweepError.
    """
    settings = read_settings(folder)
    with naming_storage(folder):
        study = _open(folder, settings)
        _check_same_values(study, folder, settings)
        _queue_again(study, folder)
    return study, settings


def _queue_again(study: optuna.Study, folder: Path) -> None:
    """Queue each trial that a kill or an error ended, and mark it as continued."""
    trials = counted(study)
    queued = {trial.user_attrs.get(FOLDER) for trial in trials if trial.state is TrialState.WAITING}
    for trial in trials:
        if trial.state is not TrialState.RUNNING:
            continue
        name = trial_folder(folder, trial).name
        if name not in queued:
            study.enqueue_trial(trial.params, user_attrs={FOLDER: name})
        optuna.Trial(study, trial._trial_id).set_user_attr(CONTINUED, True)
        study.tell(trial.number, state=TrialState.FAIL)


def _check_same_values(study: optuna.Study, folder: Path, settings: Settings) -> None:
    """Raise SweepError if the study's trials have other keys or values than the settings."""
    distributions = _distributions(settings.space)
    for trial in study.get_trials(deepcopy=False):
        for key, found in trial.distributions.items():
            if distributions.get(key) != found:
                raise SweepError(
                    f"{folder / SETTINGS_FILE}: the values of {key} are not those of the trials in {STUDY_FILE}; "
                    "restore the file, or start a new sweep"
                )


def _open(folder: Path, settings: Settings) -> optuna.Study:
    """Create or load the study; queue what a grid lacks. Raises SweepError if trials have folders, but no record."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=STUDY,
        storage=open_storage(folder),
        sampler=optuna.samplers.RandomSampler(0),
        pruner=pruner(settings),
        direction="maximize",
        load_if_exists=True,
    )
    if not study.get_trials(deepcopy=False) and any(folder.glob(TRIAL_FOLDERS)):
        raise SweepError(f"{folder / STUDY_FILE} holds no trials, but their folders are here; start a new sweep")
    if not settings.space.ranges:
        known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False)]
        for values in settings.space.grid():
            if values not in known:
                study.enqueue_trial(values)
        return study
    # Another seed after a restart, or the first proposals would come again.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), constant_liar=True)
    return study


def run_sweep(
    study: optuna.Study,
    folder: Path,
    settings: Settings,
    *,
    jobs: int = 1,
    data_dir: Path | None = None,
    device: str | None = None,
    say: Say = say_nothing,
) -> FrozenTrial:
    """Run all trials that are left, ``jobs`` at a time, and return the winner.

    The winner has the highest mean validation accuracy, among equals the lowest loss. Raises NoWinnerError if no trial
    ended with a model, SweepError if a process dies or the study cannot be written, TrainingInterruptedError, and
    errors that would end every trial, such as DataError.
    """
    distributions = _distributions(settings.space)
    left = settings.trials - sum(trial.state.is_finished() for trial in counted(study))
    with naming_storage(folder), workers(min(jobs, max(left, 1))) as pool:
        while True:
            while pool.free and _left(study, settings):
                trial = study.ask(distributions)
                pool.start(Task(folder, settings, trial.number, trial._trial_id, data_dir, device))
            if not pool.busy:
                break
            outcome = pool.finished()
            study.tell(outcome.number, outcome.value, outcome.state)
            say(_line(study, outcome.number, settings))
            clean(study, folder, settings)
    best = winner(study)
    if best is None:
        reasons = [trial.user_attrs[ERROR] for trial in counted(study) if ERROR in trial.user_attrs]
        raise NoWinnerError(f"no trial ended with a model{f': {reasons[0]}' if reasons else ''}")
    return best


def winner(study: optuna.Study) -> FrozenTrial | None:
    """Return the best complete trial; None without one."""
    complete = [trial for trial in counted(study) if trial.state is TrialState.COMPLETE]
    return max(complete, key=lambda trial: (trial.value or 0.0, -_loss(trial)), default=None)


def _loss(trial: FrozenTrial) -> float:
    """Return a trial's loss, infinity if it is not finite, so that it compares."""
    loss = float(trial.user_attrs[LOSS])
    return loss if math.isfinite(loss) else math.inf


def clean(study: optuna.Study, folder: Path, settings: Settings) -> None:
    """Remove the folders of ended trials that ``settings.keep`` does not keep."""
    best = winner(study)
    for trial in counted(study):
        ended = trial.state.is_finished() and settings.keep != "all"
        lost = trial.state is not TrialState.COMPLETE or settings.keep == "best"
        if ended and lost and (best is None or trial.number != best.number):
            shutil.rmtree(trial_folder(folder, trial), ignore_errors=True)


def _left(study: optuna.Study, settings: Settings) -> bool:
    """Return True if another trial should start."""
    trials = counted(study)
    waiting = any(trial.state is TrialState.WAITING for trial in trials)
    return waiting or (bool(settings.space.ranges) and len(trials) < settings.trials)


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    found: dict[str, BaseDistribution] = {key: CategoricalDistribution(values) for key, values in space.choices.items()}
    for key, ends in space.ranges.items():
        if isinstance(ends.low, int) and isinstance(ends.high, int):
            found[key] = IntDistribution(ends.low, ends.high, log=ends.log)
        else:
            found[key] = FloatDistribution(ends.low, ends.high, log=ends.log)
    return found


def _line(study: optuna.Study, number: int, settings: Settings) -> str:
    """Return the line about a trial that has ended."""
    trial = study.get_trials(deepcopy=False)[number]
    values = " ".join(f"{key}={show(value)}" for key, value in trial.params.items())
    if trial.state is TrialState.COMPLETE:
        result = f"validation accuracy {trial.value:.2%}"
    elif trial.state is TrialState.PRUNED:
        result = f"pruned after round {trial.last_step}"
    else:
        result = f"failed: {trial.user_attrs.get(ERROR)}"
    ended = sum(one.state.is_finished() for one in counted(study))
    return f"{ended} of {settings.trials} {values}: {result}"


def show(value: Any) -> str:
    """Return a value as a table shows it, and as a recipe has it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
