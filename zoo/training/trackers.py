"""Experiment trackers: accelerate's, which get the recipe, every number of ``metrics.jsonl`` and figures at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from PIL import Image
from torch import nn

from sdk.text import printable
from sdk.validation import hint
from zoo.recipe import Recipe
from zoo.utils.errors import TrainingError
from zoo.utils.progress import Say

_PACKAGES = {"comet_ml": "comet-ml"}
"""Packages with another name than their tracker."""


def check_trackers(names: Sequence[str]) -> None:
    """Raise TrainingError for a tracker that accelerate does not know, or whose package is missing."""
    if isinstance(names, str):
        raise TrainingError(f"track: found {names!r}, allowed a sequence of names, such as ({names!r},)")
    known = sorted(map(str, LOGGER_TYPE_TO_CLASS))
    installed = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in known:
            raise TrainingError(f"tracker: found {name!r}{hint(name, known)}, allowed {', '.join(known)}")
        if name not in installed:
            raise TrainingError(
                f"tracker {name} is not installed; install it with `pip install {_PACKAGES.get(name, name)}`"
            )


class Trackers:
    """The trackers of one run. One that fails while the run trains is left out from then on, with a note."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe, run_dir: Path, say: Say) -> None:
        self.say = say
        self.open: dict[str, Any] = {}
        if not accelerator.log_with or not accelerator.is_main_process:
            return
        run = run_dir.resolve().name
        options = {
            "wandb": {"name": run, "dir": str(run_dir)},
            "mlflow": {"run_name": run},
            "trackio": {"name": run},
            "swanlab": {"experiment_name": run},
        }
        for name in accelerator.log_with:  # one by one, to know the one that fails
            self._start(name, accelerator, recipe, options)

    def _start(self, name: str, accelerator: Accelerator, recipe: Recipe, options: dict[str, Any]) -> None:
        """Start one tracker; if it fails, end all that are open and raise TrainingError."""
        accelerator.log_with, accelerator.trackers = [name], []
        try:
            accelerator.init_trackers(recipe.name, flat(recipe.to_dict()), options)
        except Exception as error:  # whatever a tracker raises without a server, a login or a disk
            for half_open in accelerator.trackers:
                with suppress(Exception):
                    half_open.finish()
            self.close()
            raise TrainingError(f"tracker {name} does not start: {_reason(error)}") from error
        self.open |= {tracker.name: tracker for tracker in accelerator.trackers}

    def log(self, record: Mapping[str, Any]) -> None:
        """Send the numbers of a record of ``metrics.jsonl`` as ``KIND/KEY``."""
        numbers = {
            f"{record['kind']}/{key}": value
            for key, value in record.items()
            if isinstance(value, int | float) and key != "step"
        }
        self._each(lambda _, tracker: tracker.log(numbers, step=record["step"]))

    def finish(self, history: list[dict[str, Any]], family: str, module: nn.Module, step: int) -> None:
        """Send figures of a finished run: its curves, and what its family draws of a new model."""
        if self.open:
            from zoo.training.curves import draw_figures  # matplotlib takes a second to import

            with TemporaryDirectory() as folder:
                try:
                    files = draw_figures(history, family, module, Path(folder))
                except Exception as error:  # a family from elsewhere may raise anything
                    self.say(f"the trackers get no figures, because one cannot be drawn: {_reason(error)}")
                    return
                self._each(lambda name, tracker: _log_images(name, tracker, files, step))

    def close(self) -> None:
        """Close all trackers."""
        self._each(lambda _, tracker: tracker.finish())
        self.open = {}

    def _each(self, action: Callable[[str, Any], None]) -> None:
        for name, tracker in list(self.open.items()):
            try:
                action(name, tracker)
            except Exception as error:  # the training matters more than its log
                del self.open[name]
                self.say(f"tracker {name} has failed and gets no more: {_reason(error)}")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Return nested settings by dotted key, as the plain values that every tracker takes; others as JSON."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, str | int | float) else json.dumps(value)
    return found


def _log_images(name: str, tracker: Any, files: Mapping[str, Path], step: int) -> None:
    """Send images in the tracker's own way; those without one get none."""
    images = {title: Image.open(path).convert("RGB") for title, path in files.items()}
    if name == "tensorboard":
        arrays = {title: np.asarray(image)[None] for title, image in images.items()}
        tracker.log_images(arrays, step=step, dataformats="NHWC")
    elif name == "mlflow":
        import mlflow

        for path in files.values():
            mlflow.log_artifact(str(path), "figures")
    elif name == "trackio":
        import trackio

        tracker.log({title: trackio.Image(image) for title, image in images.items()}, step=step)
    elif hasattr(tracker, "log_images"):
        tracker.log_images({title: [image] for title, image in images.items()}, step=step)


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)
