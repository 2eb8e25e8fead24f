"""Places a run: device, precision, and the processes that train together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from torch import nn
from torch.optim import Optimizer

from zoo.utils.errors import TrainingError

DEVICES = ("cpu", "cuda", "mps")


def place(device: str | None, precision: str, run_dir: Path, track: Sequence[str]) -> Accelerator:
    """Return the accelerator of a run: it chooses the device, and joins the processes of a launcher.

    ``device`` is cpu, cuda or mps (None: the best available), ``precision`` fp32, bf16 or fp16, and ``track`` names
    experiment trackers. Raises TrainingError if the device or precision cannot be used here, if a launcher started more
    processes than there are GPUs, and if processes of one launcher have not found each other.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    usable = [name for name in DEVICES if available[name]]
    if device is not None and device not in usable:
        raise TrainingError(f"device {device!r} cannot be used here; usable: {', '.join(usable)}")
    if precision == "fp16" and (device == "cpu" or usable == ["cpu"]):
        raise TrainingError("train.precision fp16 needs a GPU; use bf16 or fp32 on a CPU")
    AcceleratorState._reset_state(reset_partial_state=True)  # or the first run in a process decides for later ones
    # Accelerate joins the processes of a launcher on the CPU only if it is told that the CPU is meant.
    on_cpu = device == "cpu" or usable == ["cpu"]
    if not on_cpu and "cuda" in usable:
        _check_gpus(torch.cuda.device_count())
    places = ProjectConfiguration(project_dir=str(run_dir), logging_dir=str(run_dir / "tensorboard"))
    mixed = "no" if precision == "fp32" else precision
    accelerator = Accelerator(
        cpu=on_cpu, mixed_precision=mixed, log_with=list(dict.fromkeys(track)) or None, project_config=places
    )
    check_launch(accelerator.num_processes)
    return accelerator


def prepare(accelerator: Accelerator, module: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
    """Return both as the accelerator trains them; it wraps the optimizer only where its gradient scaler needs that.

    The wrapper searches for packages in every step, which small steps feel.
    """
    module = accelerator.prepare(module)
    return module, optimizer if accelerator.scaler is None else accelerator.prepare(optimizer)


def _check_gpus(count: int) -> None:
    """Raise TrainingError if a launcher started more processes on this machine than it has GPUs."""
    started = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if started.isdigit() and int(started) > count:
        raise TrainingError(
            f"the launcher started {started} processes on this machine (LOCAL_WORLD_SIZE), and torch sees {count} CUDA "
            f"{'device' if count == 1 else 'devices'}, one for each process; start as many, or choose --device cpu"
        )


def check_launch(processes: int) -> None:
    """Raise TrainingError if a launcher started more processes than have found each other.

    Each of them would train a model of its own, in the same run folder.
    """
    wanted = os.environ.get("WORLD_SIZE", "1")
    if wanted.isdigit() and int(wanted) != processes:
        raise TrainingError(
            f"the launcher started {wanted} processes (WORLD_SIZE), and this run has {processes}; choose a device that "
            "they can share, such as --device cpu, or start one process without torchrun"
        )
