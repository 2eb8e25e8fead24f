"""Set up a run: data, model, optimizer, learner and run folder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import nn

from sdk.artifact import RECIPE_FILE
from sdk.validation import describe
from zoo.data import load_data
from zoo.data.fingerprint import fingerprint
from zoo.data.location import dataset_title
from zoo.data.split import Data
from zoo.families.base import Family
from zoo.families.building import build_module
from zoo.families.learner import Learner
from zoo.families.objective import OBJECTIVES
from zoo.families.registry import get_family, load_hook
from zoo.kernels.runtime import keep_freed_memory
from zoo.optim import make_average, make_optimizer, make_schedule
from zoo.recipe import Recipe
from zoo.training.callbacks import Metric, make_callbacks
from zoo.training.checkpoint import load_checkpoint, rescue, save_checkpoint
from zoo.training.cuda_graph import capture, check_capturable
from zoo.training.finite import fuses, make_guard
from zoo.training.fit_batch import fit_batch_size
from zoo.training.metrics_log import RunLog
from zoo.training.placement import place, prepare
from zoo.training.resume import check_same_data, check_same_recipe
from zoo.training.run import Callback, Run, restore_run, run_state
from zoo.training.start import Start
from zoo.training.start_from import freeze, open_source, parameter_groups, start_from
from zoo.training.trackers import Trackers, check_trackers
from zoo.utils.errors import BuildError, TrainingError
from zoo.utils.files import replace_file

Check = Callable[[Recipe, Data, nn.Module], None]
"""Raises an error before the first step if something that is needed after the last step would fail."""


def setup(
    recipe: Recipe,
    run_dir: Path,
    *,
    data: Data | None = None,
    data_dir: str | Path | None = None,
    device: str | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
    progress: bool = True,
    check: Check | None = None,
    fit_batch: bool = False,
    notes: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    metrics: Mapping[str, Metric] | None = None,
) -> Run:
    """Load the data, build every part of the run, then write to ``run_dir``, which this process holds.

    A new run starts with the checkpoint of step 0. The options are those of :func:`zoo.training.loop.train`. Raises
    TrainingError, DataError or CheckpointError, and the errors of ``check``.
    """
    _check_arguments(recipe, data)
    keep_freed_memory()
    saved = load_checkpoint(run_dir) if resume else None
    if saved is not None:
        check_same_recipe(recipe, saved, run_dir)
    check_trackers(track)
    called = make_callbacks(recipe, metrics or {}, callbacks)
    accelerator = place(device, recipe.train.precision, run_dir, track)
    with accelerator.main_process_first():  # a single process downloads
        source = open_source(recipe) if saved is None else None  # a checkpoint holds the weights
        data = data or load_data(recipe.data, data_dir)
    recipe, cut = fit_batch_size(recipe, len(data.train)) if fit_batch else (recipe, "")
    settings, family = recipe.train, get_family(recipe.model.family)
    _check_fit(family, recipe, data, accelerator.num_processes)
    steps_per_epoch = len(data.train) // settings.batch_size
    total_steps = settings.steps or (settings.epochs or 0) * steps_per_epoch
    set_seed(settings.seed)
    module = _build(family, recipe, data, accelerator.device)
    if saved is not None:
        start = _saved_weights(module, saved)
    else:
        start = start_from(recipe, module, data, source) if source is not None else None
    frozen = freeze(recipe, module)
    tested = make_average(module, settings.ema) if settings.ema else copy.deepcopy(module)
    groups = parameter_groups(module, settings, start.taken if start else ())
    optimizer = make_optimizer(settings.optimizer, groups, fuses(settings, accelerator.device))
    guard = make_guard(settings, optimizer, accelerator.device, accelerator.num_processes)
    schedule = make_schedule(settings.schedule, optimizer, total_steps)
    module, optimizer = prepare(accelerator, module, optimizer)
    learner = _make_learner(family, recipe, module, data)
    silent = not accelerator.is_main_process
    if check is not None and not silent:
        with torch.random.fork_rng(devices=[]):  # a check must not change what training draws
            check(recipe, data, accelerator.unwrap_model(module))
    log = RunLog(run_dir, total_steps, silent=silent, progress=progress)
    for line in (data.about, *notes, cut, start.report if start else "", _frozen_note(frozen)):
        log.note(line)
    run = Run(recipe, data, accelerator, module, tested, learner, optimizer, schedule, guard, run_dir, log,
              total_steps, steps_per_epoch, fingerprint(data), start, called)  # fmt: skip
    if saved is not None:
        log.note(check_same_data(run.fingerprint, saved, run_dir))
        restore_run(run, saved)
    if settings.cuda_graph:
        capture(run)
    if not silent:
        _write_start(run, saved is None)
    if track:
        log.trackers = Trackers(accelerator, recipe, run_dir, log.warn)
    return run


def _check_arguments(recipe: object, data: object) -> None:
    if not isinstance(recipe, Recipe):
        raise TrainingError(f"recipe: found {describe(recipe)}, allowed what zoo.recipe.load_recipe returns")
    if not isinstance(data, Data | None):
        raise TrainingError(f"data: found {describe(data)}, allowed a zoo.data.split.Data, or None for the recipe's")


def _saved_weights(module: nn.Module, saved: dict[str, Any]) -> Start | None:
    """Load a checkpoint's weights; return what it says about the model that they started from.

    The run restores them again with the rest: here, what a network has grown decides on what can be frozen.
    """
    module.load_state_dict(saved["module"])
    return Start.from_dict(saved["start_from"]) if saved.get("start_from") else None


def _frozen_note(frozen: Sequence[str]) -> str:
    return f"frozen: {', '.join(frozen)}" if frozen else ""


def _write_start(run: Run, new: bool) -> None:
    """Write the checkpoint of step 0 of a new run, and ``recipe.yaml``. Raises CheckpointError, TrainingError."""
    if new:
        save_checkpoint(run.run_dir, run_state(run))
    path = run.run_dir / RECIPE_FILE
    try:
        replace_file(path, run.recipe.to_yaml().encode())
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}; {rescue(run.run_dir)}") from None


def _check_fit(family: Family, recipe: Recipe, data: Data, processes: int) -> None:
    """Raise TrainingError unless the family, the recipe, the data and the number of processes fit each other."""
    settings, samples = recipe.train, len(data.train)
    if settings.batch_size > samples:
        raise TrainingError(
            f"train.batch_size {settings.batch_size} exceeds the {samples} training samples; set it to {samples} or "
            "less"
        )
    if settings.batch_size % processes:
        raise TrainingError(f"train.batch_size {settings.batch_size} should be divisible by the {processes} processes")
    if processes > 1 and not family.distributed:
        raise TrainingError(
            f"family {family.name} trains in one process, found {processes}: "
            "start it without torchrun or accelerate launch"
        )
    if settings.cuda_graph:
        check_capturable(family, settings.precision, processes)
    if data.kind not in family.tasks:
        raise TrainingError(
            f"data.task: found {data.kind}, family {family.name} learns {', '.join(family.tasks)}; choose a recipe of "
            "another family"
        )


def _build(family: Family, recipe: Recipe, data: Data, device: torch.device) -> nn.Module:
    """Build the model on ``device``; raises TrainingError if it does not fit the data or the memory."""
    try:
        module: nn.Module = build_module(family, recipe.model, data.task).to(device)
    except BuildError as error:
        raise TrainingError(
            f"{recipe.name}: model does not fit the data {dataset_title(recipe.data)}: {error}"
        ) from None
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise TrainingError(f"{recipe.name}: model is too large for the memory here: {error}") from None
    return module


def _make_learner(family: Family, recipe: Recipe, module: nn.Module, data: Data) -> Learner:
    """Return the family's learner for the task of the data; raises TrainingError if ``train.ema`` does not fit it."""
    learner: Learner = load_hook(family.learner)(module, recipe.model)
    learner.objective = OBJECTIVES[data.kind]
    if recipe.train.ema and not learner.averageable:
        raise TrainingError(
            f"train.ema: a running average of the weights does not fit family {family.name}; leave it out"
        )
    return learner
