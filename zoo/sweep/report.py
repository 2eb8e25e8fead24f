"""The results of a sweep: a table of trials, and figures of their parameters."""

from __future__ import annotations

import csv
import io
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from zoo.sweep.folder import ACCURACIES, TRIALS_FILE, Settings, counted, trial_folder
from zoo.sweep.study import show
from zoo.utils.figures import save_png
from zoo.utils.files import replace_file

_RESULTS = ("mean", "std", "seeds", "state", "rounds", "folder")
"""The columns behind the values."""
FIGURES = {"parallel-coordinates": "parallel-coordinates.png", "importance": "importance.png"}


def rows(study: optuna.Study, folder: Path, settings: Settings) -> list[dict[str, Any]]:
    """Return a row for each trial, the best first: values, mean and sample standard deviation of its seeds, state."""
    trials = sorted(counted(study), key=lambda trial: (-_rank(trial), trial.number))
    return [_row(trial, folder, settings) for trial in trials]


def table(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return rows as text for a terminal."""
    return [{key: _cell(key, value) for key, value in row.items()} for row in found]


def write_report(study: optuna.Study, folder: Path, settings: Settings) -> list[str]:
    """Write ``trials.csv`` and the figures that the trials allow; return a note for each figure that is missing."""
    found = rows(study, folder, settings)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "null" if value is None and key not in _RESULTS else value for key, value in row.items()}
                     for row in found)  # fmt: skip
    replace_file(folder / TRIALS_FILE, text.getvalue().encode())
    complete = [trial for trial in counted(study) if trial.state is TrialState.COMPLETE]
    notes = []
    for name, reason in (("parallel-coordinates", _no_parallel(complete)), ("importance", _no_importance(complete))):
        if reason:
            notes.append(f"no {FIGURES[name]}: {reason}")
            continue
        _draw(_PLOTS[name], study, folder / FIGURES[name])
    return notes


def _cell(key: str, value: Any) -> str:
    """Return one value of a row as text; None is a missing result, but a value of a recipe."""
    if value is None and key in _RESULTS:
        return "-"
    return f"{value:.2%}" if key in ("mean", "std") else show(value)


def _rank(trial: FrozenTrial) -> float:
    """Return the value to sort by: complete trials come before pruned ones, and these before failed ones."""
    if trial.state is TrialState.COMPLETE:
        return 2 + (trial.value or 0.0)
    return 1.0 if trial.state is TrialState.PRUNED else 0.0


def _row(trial: FrozenTrial, folder: Path, settings: Settings) -> dict[str, Any]:
    accuracies = trial.user_attrs.get(ACCURACIES, [])
    place = trial_folder(folder, trial)
    return {
        **{key: trial.params.get(key) for key in settings.space.keys},
        "mean": trial.value if trial.state is TrialState.COMPLETE else None,
        "std": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "seeds": len(accuracies),
        "state": trial.state.name.lower(),
        "rounds": trial.last_step,
        "folder": place.name if place.is_dir() else None,
    }


def _no_parallel(complete: list[FrozenTrial]) -> str:
    """Return the reason why lines of trials cannot be drawn, else ""."""
    if not complete or not complete[0].params:
        return "no trial with values is complete"
    return ""


def _no_importance(complete: list[FrozenTrial]) -> str:
    """Return the reason why importances cannot be estimated, else ""."""
    if len(complete) < 4:
        return f"importances need 4 complete trials, found {len(complete)}"
    if len({trial.value for trial in complete}) < 2:
        return "all trials are equally good"
    if not any(len({str(trial.params[key]) for trial in complete}) > 1 for key in complete[0].params):
        return "no value differs between trials"
    return ""


def _parallel(study: optuna.Study) -> Any:
    return optuna.visualization.matplotlib.plot_parallel_coordinate(study, target_name="validation accuracy")


def _importance(study: optuna.Study) -> Any:
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.visualization.matplotlib.plot_param_importances(
        study, evaluator=evaluator, target_name="validation accuracy"
    )


_PLOTS: dict[str, Callable[[optuna.Study], Any]] = {"parallel-coordinates": _parallel, "importance": _importance}


def _draw(plot: Callable[[optuna.Study], Any], study: optuna.Study, path: Path) -> None:
    """Draw one of Optuna's figures into a file."""
    import matplotlib

    matplotlib.use("agg", force=True)
    from matplotlib import pyplot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its figures experimental
        axes = plot(study)
    figure: Figure = axes.figure
    figure.set_size_inches(9, 5)
    figure.tight_layout()
    save_png(figure, path)
    pyplot.close(figure)
