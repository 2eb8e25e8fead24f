"""The folder of a sweep: its settings, Optuna's study in SQLite, and a folder for each trial."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy.pool import NullPool

from zoo.recipe import Recipe, stored_recipe
from zoo.sweep.space import Range, Space, Value, overrides
from zoo.utils.errors import SweepError
from zoo.utils.files import replace_file

SETTINGS_FILE = "sweep.json"
STUDY_FILE = "study.db"
TRIALS_FILE = "trials.csv"
FORMAT = 1
FOLDER, CONTINUED, ERROR, ACCURACIES, LOSS = "folder", "continued", "error", "accuracies", "loss"
"""User attributes of a trial: its folder, whether another trial continues it after a kill, and its results."""
_BUSY_SECONDS = 60


@dataclass(frozen=True)
class Settings:
    """Everything that decides on the trials of a sweep."""

    name: str
    """That of the recipe, which is also the model's."""
    recipe: dict[str, Any]
    """The recipe as it was written, with absolute paths."""
    space: Space
    trials: int
    prune: bool
    keep: str
    """all, finished (without pruned and failed trials) or best: the folders of trials that stay."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of each trial."""
        return self.space.seeds or (self.recipe_of({}).train.seed,)

    def recipe_of(self, values: dict[str, Value]) -> Recipe:
        """Return the recipe with one combination of values; raises RecipeError."""
        found = stored_recipe(self.recipe, Path(f"{self.name}.yaml"), [*self.space.fixed, *overrides(values)])
        return found.model_copy(update={"name": self.name})

    def with_seed(self, values: dict[str, Value], seed: int) -> Recipe:
        """Return the recipe of one run of a trial."""
        recipe = self.recipe_of(values)
        return recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": seed})})


def write_settings(folder: Path, settings: Settings) -> None:
    """Write ``sweep.json``. Raises OSError."""
    replace_file(folder / SETTINGS_FILE, json.dumps({"format": FORMAT, **asdict(settings)}, indent=2).encode())


def read_settings(folder: Path) -> Settings:
    """Return what :func:`write_settings` wrote; raises SweepError for a folder without a sweep."""
    path = folder / SETTINGS_FILE
    try:
        tree = json.loads(path.read_bytes())
        if tree.pop("format") != FORMAT:
            raise ValueError("another format")
        space = tree.pop("space")
        ranges = {key: Range(**found) for key, found in space.pop("ranges").items()}
        choices = {key: tuple(values) for key, values in space.pop("choices").items()}
        space = Space(tuple(space["fixed"]), choices, ranges, tuple(space["seeds"]))
        return Settings(**tree, space=space)
    except FileNotFoundError:
        raise SweepError(f"no sweep in {folder}: it has no {SETTINGS_FILE}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepError(f"{path} is damaged or of another version ({error}); start a new sweep") from None


def open_storage(folder: Path) -> optuna.storages.RDBStorage:
    """Open the study's database, which several processes may write."""
    path = folder / STUDY_FILE

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)

    # A creator instead of a URL, in which some characters of a path mean something else.
    return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect, "poolclass": NullPool})


def trial_folder(folder: Path, trial: FrozenTrial | optuna.Trial) -> Path:
    """Return the folder of a trial's runs."""
    name: str = trial.user_attrs.get(FOLDER, f"trial-{trial.number:03d}")
    return folder / name


def run_folders(folder: Path, seeds: Sequence[int]) -> dict[int, Path]:
    """Return the run folder of each seed of a trial, whose folder is given."""
    return {seed: folder / f"seed-{seed}" if len(seeds) > 1 else folder for seed in seeds}


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return all trials but those that another one continues."""
    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(CONTINUED)]
