"""The construction of a family's module, whatever the program around it has set in torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from zoo.data.task import Task
from zoo.families.base import Family, FamilyConfig
from zoo.families.registry import load_hook


def build_module(family: Family, config: FamilyConfig, task: Task) -> nn.Module:
    """Build a family's module on the CPU in float32; raises BuildError if the config does not fit the task."""
    with fixed_defaults():
        module: nn.Module = load_hook(family.build)(config, task)
    return module


@contextmanager
def fixed_defaults() -> Iterator[None]:
    """Fix torch's default dtype (float32) and device (CPU), with gradients on and autocast and inference mode off.

    The default dtype is one for all threads of a process: others see float32 meanwhile, and the program's own again
    after the last of them has left.
    """
    with (
        _float32_default,
        torch.device("cpu"),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        yield


class _Float32Default:
    """Sets the default dtype while any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = torch.float32

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                torch.set_default_dtype(self._before)

    def after_fork(self) -> None:
        """Leave the state to the child, whose other threads, and their turns, are gone."""
        if self._inside:
            torch.set_default_dtype(self._before)
        self._lock, self._inside = threading.Lock(), 0


_float32_default = _Float32Default()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_float32_default.after_fork)
