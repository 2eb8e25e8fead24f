"""Repeats the forward and backward pass of a training step as CUDA graphs: ``train.cuda_graph``.

The host then launches two graphs instead of every kernel, which pays where it queues kernels more slowly than the
device runs them. The same kernels run in the same order, so the numbers are those of a training without graphs. Loss,
clipping and optimizer stay outside, and are launched as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from zoo.families.base import Family
from zoo.training.run import Run
from zoo.utils.errors import TrainingError


def check_capturable(family: Family, precision: str, processes: int) -> None:
    """Raise TrainingError if a CUDA graph cannot repeat a step of such a training, on whatever device it runs."""
    if not family.capturable:
        raise TrainingError(
            f"train.cuda_graph: found true, and family {family.name} makes choices in each step that a CUDA graph "
            "would repeat unchanged; leave the key out"
        )
    if precision == "fp16":
        raise TrainingError("train.cuda_graph: found true with train.precision fp16, allowed with fp32 and bf16")
    if processes > 1:
        raise TrainingError(f"train.cuda_graph: found true in {processes} processes, allowed in one; leave the key out")


def capture(run: Run) -> None:
    """Let the module in training mode run as graphs from now on; without a GPU only a note says that it does not.

    Changes neither weights nor buffers nor random numbers. Raises TrainingError if the device refuses.
    """
    device = run.accelerator.device
    if device.type != "cuda":
        run.log.note(f"train.cuda_graph: there are no CUDA graphs on {device.type}, steps run without")
        return
    batch = torch.zeros(run.recipe.train.batch_size, *run.data.task.input_shape, device=device)
    run.module.train()
    try:
        with _unchanged(run.module, device):
            torch.cuda.make_graphed_callables(run.module, (batch,), allow_unused_input=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"train.cuda_graph: the step was not captured: {reason}; leave the key out") from error


@contextmanager
def _unchanged(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back afterwards what the passes before a capture change: buffers, and the device's random numbers."""
    drawn = torch.cuda.get_rng_state(device)
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.cuda.set_rng_state(drawn, device)
