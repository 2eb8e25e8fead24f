"""The callbacks that come with the loop: early stopping, the best checkpoint, and metrics of one's own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from numpy.typing import NDArray

from sdk.validation import describe
from zoo.config.train import EarlyStoppingConfig
from zoo.data.sampling import evaluation_batches
from zoo.recipe import Recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.result import BEST_FILE, CHECKPOINT_FILE
from zoo.training.run import Callback, Run, tested_module
from zoo.utils.errors import TrainingError
from zoo.utils.files import replace_file

Metric: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.int64]], float]
"""``(logits [N, classes], labels [N]) -> number`` on the whole validation split; both are read-only."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OWN = ("loss", "accuracy")


def make_callbacks(
    recipe: Recipe, metrics: Mapping[str, Metric], given: Sequence[Callback] = ()
) -> tuple[Callback, ...]:
    """Return the callbacks of a run: metrics first, so that the others see them in the record.

    Raises TrainingError for metrics and callbacks that are none.
    """
    found: list[Callback] = [OwnMetrics(metrics)] if metrics else []
    for callback in given:
        if not isinstance(callback, Callback):
            raise TrainingError(f"callbacks: found {describe(callback)}, allowed instances of {Callback.__name__}")
        found.append(callback)
    if recipe.train.early_stopping is not None:
        found.append(EarlyStopping(recipe.train.early_stopping))
    if recipe.export.which == "best":
        found.append(BestCheckpoint())
    return tuple(found)


def call_on_validation(run: Run, record: dict[str, Any]) -> bool:
    """Call the hooks of a validation; return True if one of them, in any process, ends the training.

    Raises TrainingError for an answer that is not true or false, and for a record that cannot be logged.
    """
    ended = False
    for callback in run.callbacks:
        name, fewest = type(callback).__name__, dict(record)
        answer = callback.on_validation(run, record)
        if not isinstance(answer, bool | np.bool_ | None):
            raise TrainingError(f"{name}.on_validation: found {describe(answer)}, allowed True, False and None")
        _check_record(name, record, fewest)
        ended |= bool(answer)
    if run.accelerator.num_processes > 1:  # or one process would wait for another that has ended
        ended = any(gather_object([ended]))
    return ended


def _check_record(name: str, record: dict[str, Any], fewest: Mapping[str, Any]) -> None:
    """Make the numbers of a record plain; raise TrainingError for others, and if one in ``fewest`` is not as it was.

    Those of the validation may be replaced, by which early stopping and the best checkpoint then choose.
    """
    for key, value in fewest.items():
        if key not in record:
            raise TrainingError(f"{name}.on_validation removed {key} from the record; it may add numbers")
        same = record[key] is value or record[key] == value
        if not same and not key.startswith("validation_"):
            raise TrainingError(f"{name}.on_validation changed {key} of the record; it may add numbers")
    for key, value in record.items():
        number = _number(value)
        if not isinstance(key, str) or number is None or (key not in fewest and not math.isfinite(number)):
            raise TrainingError(f"{name}.on_validation: {describe(key)} is {describe(value)}, allowed finite numbers")
        record[key] = number


def _number(value: Any) -> int | float | None:
    """Return a number of Python's, numpy's or torch's as a plain one; None for anything else."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor) and value.ndim == 0:
        value = value.item()
    return value if isinstance(value, int | float) else None


class EarlyStopping(Callback):
    """Ends the training when validation has not improved for some rounds."""

    def __init__(self, settings: EarlyStoppingConfig) -> None:
        self.settings = settings

    def on_validation(self, run: Run, record: dict[str, Any]) -> bool:
        sign = -1 if self.settings.metric.endswith("loss") else 1
        best, waited = -math.inf, 0
        for one in (*run.history, record):  # from the start, so that a resumed run ends where it would have
            value = sign * one[self.settings.metric]
            improved = value > best + self.settings.min_delta
            best, waited = (value, 0) if improved else (best, waited + 1)
        return waited >= self.settings.patience


class BestCheckpoint(Callback):
    """Keeps the checkpoint of the best validation accuracy, among equals that of the lowest loss."""

    def on_start(self, run: Run) -> None:
        self._keep(run)  # the run may have been killed between its checkpoint and the copy

    def on_round_end(self, run: Run, record: dict[str, Any]) -> None:
        self._keep(run)

    def _keep(self, run: Run) -> None:
        if run.accelerator.is_main_process and run.history and _best_step(run) == run.saved_step:
            replace_file(run.run_dir / BEST_FILE, (run.run_dir / CHECKPOINT_FILE).read_bytes())


def restore_best(run: Run) -> None:
    """Take weights and learner of the best validation; raises TrainingError if its checkpoint was not kept."""
    run.accelerator.wait_for_everyone()
    path = run.run_dir / BEST_FILE
    best = _best_step(run)
    state = load_checkpoint(run.run_dir, BEST_FILE) if path.is_file() else {}
    if state.get("step") != best:
        raise TrainingError(
            f"export.which best: {path} is missing or does not hold step {best}, the best one; train the recipe again"
        )
    run.load_weights(state)
    run.exported_step = best
    run.log.note(f"export.which best: the weights of step {best} are tested, of {run.step} steps")


class OwnMetrics(Callback):
    """Computes metrics on the validation split and adds them to the record as ``validation_NAME``."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        if not isinstance(metrics, Mapping) or not all(map(callable, metrics.values())):
            raise TrainingError(f"metrics: found {describe(metrics)}, allowed functions by name")
        for name in metrics:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _OWN:
                raise TrainingError(
                    f"metric {name!r}: its name should have lower-case letters, digits and underscores, and be none of "
                    f"{', '.join(_OWN)}"
                )
        self.metrics = dict(metrics)

    def on_validation(self, run: Run, record: dict[str, Any]) -> bool:
        outputs, target = validation_outputs(run)
        values = {}
        for name, metric in self.metrics.items():
            value = metric(outputs, target)
            number = _number(value)
            if number is None or not math.isfinite(number):
                raise TrainingError(
                    f"metric {name}: found {describe(value)} at step {run.step}, allowed finite numbers"
                )
            values[f"validation_{name}"] = number
        if run.accelerator.num_processes > 1:  # a metric that draws numbers differs between processes
            [values] = broadcast_object_list([values])
        record |= values
        return False


def validation_outputs(run: Run) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return outputs and targets of the validation split, of all processes: logits ``[N, classes]``, labels ``[N]``.

    Of an echo, both are ``[N, values]``. Both arrays are read-only.
    """
    accelerator, split = run.accelerator, run.data.validation
    module = tested_module(run).eval()
    share = evaluation_batches(
        len(split), run.recipe.train.eval_batch_size, accelerator.process_index, accelerator.num_processes
    )
    found = []
    with torch.inference_mode():
        for inputs, labels in split.stream(share, accelerator.device):
            target = run.learner.objective.target(inputs, labels)
            found.append((module(inputs).float().cpu().numpy(), target.cpu().numpy()))
    parts = gather_object(found) if accelerator.num_processes > 1 else found
    whole = np.concatenate([logits for logits, _ in parts]), np.concatenate([labels for _, labels in parts])
    for array in whole:
        array.flags.writeable = False  # several metrics see them
    return whole


def _best_step(run: Run) -> int:
    """Return the step of the best round so far."""
    best = max(run.history, key=lambda record: (record["validation_accuracy"], -record["validation_loss"]))
    return int(best["step"])
