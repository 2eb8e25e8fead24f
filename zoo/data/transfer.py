"""Copies to a device that the host does not wait for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on ``device``; on CUDA the copy is queued behind earlier work, and nothing waits for it.

    Only pinned memory is copied so. torch keeps that memory until the copy is done.
    """
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def one_ahead(
    batches: Generator[tuple[Tensor, Tensor], None, None], device: torch.device
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield the batches, the next of which is already queued on a stream of its own.

    Its copies and augmentation so overlap with the step on the one before. Meant for CUDA; elsewhere streams do
    nothing, and only the order of calls changes.
    """
    of_device = torch.get_device_module(device)
    side = of_device.Stream()
    side.wait_stream(of_device.current_stream())  # which has waited for what earlier calls left on the device

    def queued() -> tuple[Tensor, Tensor] | None:
        with of_device.stream(side):
            return next(batches, None)

    with closing(batches):
        batch = queued()
        while batch is not None:
            current = of_device.current_stream()
            current.wait_stream(side)
            for tensor in batch:
                if tensor.is_cuda:
                    tensor.record_stream(current)  # or the side stream could reuse its memory while a step reads it
            coming = queued()
            yield batch
            batch = coming
