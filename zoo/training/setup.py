"""Setting up a run: data, model, optimizer, device and the run folder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from zoo.data import load_data
from zoo.families.registry import get_family, load_hook
from zoo.kernels.runtime import keep_freed_memory
from zoo.optim import make_average, make_optimizer, make_schedule
from zoo.recipe import Recipe
from zoo.training.checkpoint import FILE as CHECKPOINT_FILE
from zoo.training.checkpoint import load_checkpoint
from zoo.training.metrics_log import RunLog
from zoo.training.run import Run, _restore
from zoo.utils.errors import BuildError, TrainingError

DEVICES = ("cpu", "cuda", "mps")


def setup(
    recipe: Recipe,
    run_dir: Path,
    data_dir: str | Path | None,
    device: str | None,
    resume: bool,
    tensorboard: bool,
    progress: bool,
) -> Run:
    """Load the data, build everything and claim the folder; nothing is written before all else has worked."""
    settings = recipe.train
    keep_freed_memory()
    accelerator = _accelerator(device, settings.precision)
    with accelerator.main_process_first():  # one process downloads
        data = load_data(recipe.data, data_dir)
    steps_per_epoch = len(data.train) // settings.batch_size
    _check_batch_size(settings.batch_size, len(data.train), accelerator.num_processes)
    total_steps = settings.steps or (settings.epochs or 0) * steps_per_epoch
    family = get_family(recipe.model.family)
    if accelerator.num_processes > 1 and not family.distributed:
        raise TrainingError(
            f"family {family.name} trains in one process, found {accelerator.num_processes}: "
            "start it without torchrun or accelerate launch"
        )
    set_seed(settings.seed)
    try:
        module = load_hook(family.build)(recipe.model, data.task).to(accelerator.device)
    except BuildError as error:
        raise TrainingError(f"{recipe.name}: model does not fit the data {recipe.data.name}: {error}") from None
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise TrainingError(f"{recipe.name}: model is too large for the memory here: {error}") from None
    tested = make_average(module, settings.ema) if settings.ema else copy.deepcopy(module)
    optimizer = make_optimizer(settings.optimizer, module.parameters())
    schedule = make_schedule(settings.schedule, optimizer, total_steps)
    module, optimizer = accelerator.prepare(module, optimizer)
    learner = load_hook(family.learner)(module, recipe.model)
    if settings.ema and not learner.averageable:
        raise TrainingError(
            f"train.ema: a running average of the weights does not fit family {family.name}; leave it out"
        )
    silent = not accelerator.is_main_process
    saved = load_checkpoint(run_dir) if resume else None
    if saved is not None:
        check_same_recipe(recipe, saved["recipe"], run_dir)
    if not silent:
        _claim(run_dir, recipe, resume)
    log = RunLog(run_dir, total_steps, silent=silent, progress=progress, tensorboard=tensorboard)
    run = Run(recipe, data, accelerator, module, tested, learner, optimizer, schedule, run_dir, log,
              total_steps, steps_per_epoch)  # fmt: skip
    if saved is not None:
        _restore(run, saved)
    return run


def _accelerator(device: str | None, precision: str) -> Accelerator:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    usable = [name for name in DEVICES if available[name]]
    if device is not None and device not in usable:
        raise TrainingError(f"device {device!r} cannot be used here; usable: {', '.join(usable)}")
    if precision == "fp16" and (device == "cpu" or usable == ["cpu"]):
        raise TrainingError("train.precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
    AcceleratorState._reset_state(reset_partial_state=True)  # or the first run of a process decides for all others
    return Accelerator(cpu=device == "cpu", mixed_precision="no" if precision == "fp32" else precision)


def _check_batch_size(batch_size: int, samples: int, processes: int) -> None:
    if batch_size > samples:
        raise TrainingError(f"train.batch_size {batch_size} exceeds the {samples} training samples")
    if batch_size % processes:
        raise TrainingError(f"train.batch_size {batch_size} should be divisible by the {processes} processes")


def _claim(run_dir: Path, recipe: Recipe, resume: bool) -> None:
    """Make ``run_dir`` this run's, unless it holds an unfinished one."""
    if not resume:
        check_claimable(run_dir)
    if run_dir.is_file():
        raise TrainingError(f"cannot write to {run_dir}: it is a file; give the run a folder")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not resume:
            (run_dir / CHECKPOINT_FILE).unlink(missing_ok=True)
        (run_dir / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"cannot write to {run_dir}: {error.strerror or error}") from None


def check_claimable(run_dir: Path) -> None:
    """Raise TrainingError when a new run in ``run_dir`` would destroy an unfinished one."""
    if (run_dir / CHECKPOINT_FILE).exists():
        old = load_checkpoint(run_dir)
        if old["step"] < old["total_steps"]:
            raise TrainingError(
                f"{run_dir} holds an unfinished run at step {old['step']} of {old['total_steps']}: "
                "resume it with --resume, or delete the folder"
            )


def check_same_recipe(recipe: Recipe, saved: dict[str, Any], run_dir: Path) -> None:
    """Raise TrainingError unless ``run_dir``'s run was made by this recipe.

    The export section may differ: it says what is written afterwards, not how the model is trained.
    """
    ours, theirs = (_flatten({**tree, "export": {}}) for tree in (recipe.to_dict(), saved))
    differing = [
        f"{key} is {ours.get(key)}, was {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if differing:
        raise TrainingError(f"cannot resume {run_dir} with another recipe: {'; '.join(differing)}")


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
