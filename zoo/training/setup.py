"""Set up a run: device, data, model, optimizer, learner and run folder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import nn

from zoo.data import load_data
from zoo.data.split import Data
from zoo.families.base import Family
from zoo.families.building import build_module
from zoo.families.learner import Learner
from zoo.families.registry import get_family, load_hook
from zoo.kernels.runtime import keep_freed_memory
from zoo.optim import make_average, make_optimizer, make_schedule
from zoo.recipe import Recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.metrics_log import RunLog
from zoo.training.run import Run, restore_run
from zoo.training.run_folder import check_same_recipe, claim
from zoo.utils.errors import BuildError, TrainingError

DEVICES = ("cpu", "cuda", "mps")
Check = Callable[[Recipe, Data, nn.Module], None]
"""Raises an error before the first step if something that is needed after the last step would fail."""


def setup(
    recipe: Recipe,
    run_dir: Path,
    *,
    data_dir: str | Path | None = None,
    device: str | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    progress: bool = False,
    check: Check | None = None,
) -> Run:
    """Load the data, build every part of the run, then claim ``run_dir``; nothing is written before that.

    The options are those of :func:`zoo.training.loop.train`. Raises TrainingError, DataError or CheckpointError, and
    the errors of ``check``.
    """
    settings = recipe.train
    keep_freed_memory()
    accelerator = _accelerator(device, settings.precision)
    with accelerator.main_process_first():  # a single process downloads
        data = load_data(recipe.data, data_dir)
    steps_per_epoch = len(data.train) // settings.batch_size
    _check_batch_size(settings.batch_size, len(data.train), accelerator.num_processes)
    total_steps = settings.steps or (settings.epochs or 0) * steps_per_epoch
    family = get_family(recipe.model.family)
    _check_processes(family, accelerator.num_processes)
    set_seed(settings.seed)
    module = _build(family, recipe, data, accelerator.device)
    tested = make_average(module, settings.ema) if settings.ema else copy.deepcopy(module)
    optimizer = make_optimizer(settings.optimizer, module.parameters())
    schedule = make_schedule(settings.schedule, optimizer, total_steps)
    module, optimizer = accelerator.prepare(module, optimizer)
    learner: Learner = load_hook(family.learner)(module, recipe.model)
    if settings.ema and not learner.averageable:
        raise TrainingError(
            f"train.ema: a running average of the weights does not fit family {family.name}; leave it out"
        )
    silent = not accelerator.is_main_process
    if check is not None and not silent:
        with torch.random.fork_rng(devices=[]):  # a check must not change what training draws
            check(recipe, data, accelerator.unwrap_model(module))
    saved = load_checkpoint(run_dir) if resume else None
    if saved is not None:
        check_same_recipe(recipe, saved["recipe"], run_dir)
    if not silent:
        claim(run_dir, recipe, resume)
    log = RunLog(run_dir, total_steps, silent=silent, progress=progress, tensorboard=tensorboard)
    log.note(data.about)
    run = Run(recipe, data, accelerator, module, tested, learner, optimizer, schedule, run_dir, log,
              total_steps, steps_per_epoch)  # fmt: skip
    if saved is not None:
        restore_run(run, saved)
    return run


def _accelerator(device: str | None, precision: str) -> Accelerator:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    usable = [name for name in DEVICES if available[name]]
    if device is not None and device not in usable:
        raise TrainingError(f"device {device!r} cannot be used here; usable: {', '.join(usable)}")
    if precision == "fp16" and (device == "cpu" or usable == ["cpu"]):
        raise TrainingError("train.precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
    AcceleratorState._reset_state(reset_partial_state=True)  # or the first run in a process decides for later ones
    return Accelerator(cpu=device == "cpu", mixed_precision="no" if precision == "fp32" else precision)


def _check_batch_size(batch_size: int, samples: int, processes: int) -> None:
    if batch_size > samples:
        raise TrainingError(
            f"train.batch_size {batch_size} exceeds the {samples} training samples; set it to {samples} or less"
        )
    if batch_size % processes:
        raise TrainingError(f"train.batch_size {batch_size} should be divisible by the {processes} processes")


def _check_processes(family: Family, processes: int) -> None:
    if processes > 1 and not family.distributed:
        raise TrainingError(
            f"family {family.name} trains in one process, found {processes}: "
            "start it without torchrun or accelerate launch"
        )


def _build(family: Family, recipe: Recipe, data: Data, device: torch.device) -> nn.Module:
    """Build the model on ``device``; raises TrainingError if it does not fit the data or the memory."""
    try:
        module: nn.Module = build_module(family, recipe.model, data.task).to(device)
    except BuildError as error:
        raise TrainingError(f"{recipe.name}: model does not fit the data {recipe.data.name}: {error}") from None
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise TrainingError(f"{recipe.name}: model is too large for the memory here: {error}") from None
    return module
