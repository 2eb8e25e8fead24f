"""The folder of a sweep: its settings, Optuna's study in SQLite, and a folder for each trial."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from zoo.recipe import Recipe, stored_recipe
from zoo.sweep.space import Space, Value, overrides
from zoo.utils.errors import SweepError
from zoo.utils.files import replace_file

SETTINGS_FILE = "sweep.json"
STUDY_FILE = "study.db"
TRIALS_FILE = "trials.csv"
FORMAT = 1
FOLDER, CONTINUED, ERROR, ACCURACIES, LOSS = "folder", "continued", "error", "accuracies", "loss"
"""User attributes of a trial: its folder, whether another trial continues it after a kill, and its results."""
Keep: TypeAlias = Literal["all", "finished", "best"]
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
    keep: Keep
    """all, finished (without pruned and failed trials) or best: the folders of trials that stay."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of each trial."""
        return self.space.seeds or (self.recipe_of({}).train.seed,)

    def recipe_of(self, values: dict[str, Value]) -> Recipe:
        """Return the recipe with one combination of values; raises RecipeError."""
        found = stored_recipe(self.recipe, Path(f"{self.name}.yaml"), overrides(self.space.fixed, values))
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
        if tree["format"] != FORMAT:
            raise ValueError(f"format {tree['format']}")
        return TypeAdapter(Settings).validate_python({key: tree[key] for key in Settings.__dataclass_fields__})
    except FileNotFoundError:
        raise SweepError(
            f"no sweep in {folder}: it has no {SETTINGS_FILE}; give a sweep's folder, such as runs/sweep-NAME-TIME"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise SweepError(f"{path} is damaged or of another version ({reason}); start a new sweep")


@contextmanager
def naming_storage(folder: Path) -> Iterator[None]:
    """Raise SweepError, which names the study's database, for an error of the database."""
    try:
        yield
    except (SQLAlchemyError, OptunaError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error  # that of SQLite, in one line
        reason = " ".join(str(getattr(cause, "orig", None) or cause).split())
        raise SweepError(f"{folder / STUDY_FILE} cannot be read or written: {reason}") from error


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
