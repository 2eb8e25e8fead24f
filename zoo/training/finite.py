"""Stops a training whose loss or gradient is not finite, before such a step changes a weight.

Two guards say the same. :class:`HostGuard` reads every loss back, which costs nothing on the CPU. On a GPU the host
would wait for it, and the device then for the host; :class:`DeviceGuard` leaves the decision to the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.config.train import TrainConfig
from zoo.optim import FUSED


class NotFiniteError(Exception):
    """A step met a loss or a gradient that is not finite. The training loop turns it into a TrainingError."""

    def __init__(self, step: int, lr: float, what: str, last_loss: float) -> None:
        super().__init__(what)
        self.step, self.lr, self.what, self.last_loss = step, lr, what, last_loss


class HostGuard:
    """Reads the loss and the gradient's norm of every step."""

    def __init__(self, norm_may_overflow: bool = False) -> None:
        self.last_loss = math.nan
        """The last finite loss."""
        self._norm_may_overflow = norm_may_overflow
        self._step, self._lr, self._loss = 0, 0.0, math.nan

    def see(self, step: int, lr: float, loss: Tensor) -> None:
        """Take the loss of a step (from 1) before its gradient is computed; raise NotFiniteError unless finite."""
        self._step, self._lr, self._loss = step, lr, float(loss)
        _check(step, lr, self._loss, 0.0, self.last_loss)

    def allow(self, norm: Tensor | None) -> dict[str, float | Tensor]:
        """Return the step's numbers before the optimizer takes it; raise NotFiniteError unless the norm is finite."""
        numbers: dict[str, float | Tensor] = {"loss": self._loss}
        if norm is not None:
            numbers["grad_norm"] = float(norm)
            if not self._norm_may_overflow:
                _check(self._step, self._lr, self._loss, float(norm), self.last_loss)
        self.last_loss = self._loss
        return numbers

    def settle(self) -> None:
        """Do nothing: every step was checked before it was taken."""


class DeviceGuard:
    """Lets the optimizer skip, on the device, a step that is not finite and all steps after it.

    Such a step is found when the losses are read back, in :meth:`settle`. Needs one of torch's fused optimizers.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, processes: int = 1) -> None:
        self.last_loss = math.nan
        """The last finite loss that was read back."""
        self._stop = torch.zeros((), device=device)  # 1 from a step that is not finite on; float32, as torch asks
        self._optimizer, self._processes = optimizer, processes
        self._pending: list[tuple[int, float, Tensor]] = []
        self._step, self._lr, self._loss = 0, 0.0, self._stop

    def see(self, step: int, lr: float, loss: Tensor) -> None:
        """Take the loss of a step (from 1) before its gradient is computed."""
        self._step, self._lr, self._loss = step, lr, loss.float()

    def allow(self, norm: Tensor | None) -> dict[str, float | Tensor]:
        """Tell the optimizer whether to take the step; return the step's numbers, which stay on the device."""
        numbers: dict[str, float | Tensor] = {"loss": self._loss}
        if norm is not None:
            numbers["grad_norm"] = norm
        seen = torch.stack([self._loss, torch.zeros_like(self._loss) if norm is None else norm.float()])
        bad = seen.isfinite().all().logical_not().float()
        if self._processes > 1:  # a step that one process must not take is taken by none
            torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        self._stop = torch.maximum(self._stop, bad)
        self._optimizer.found_inf = self._stop  # type: ignore[attr-defined]
        self._pending.append((self._step, self._lr, torch.cat([seen, bad[None]])))
        return numbers

    def settle(self) -> None:
        """Read back the steps since the last call; raise NotFiniteError for the first that was not finite.

        The host waits for the device.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        numbers = torch.stack([tensor for _, _, tensor in pending]).tolist()
        for (step, lr, _), (loss, norm, bad) in zip(pending, numbers, strict=True):
            _check(step, lr, loss, norm, self.last_loss)
            if bad:
                raise NotFiniteError(step, lr, "the loss of another process is not finite", self.last_loss)
            self.last_loss = loss


Guard = HostGuard | DeviceGuard


def make_guard(settings: TrainConfig, optimizer: torch.optim.Optimizer, device: torch.device, processes: int) -> Guard:
    """Return the guard for a run with this optimizer of torch's."""
    if decides_on_device(settings, device):
        return DeviceGuard(optimizer, device, processes)
    return HostGuard(norm_may_overflow=settings.precision == "fp16")  # the gradient scaler then skips the step


def decides_on_device(settings: TrainConfig, device: torch.device) -> bool:
    """True if a training can leave the decision to the device: on CUDA, with a fused optimizer."""
    return device.type == "cuda" and fuses(settings, device)


def fuses(settings: TrainConfig, device: torch.device) -> bool:
    """True if torch updates all weights of a parameter in one pass: on the CPU and on CUDA, with such an optimizer.

    On CUDA not in fp16, where the gradient scaler owns the flag that skips a step.
    """
    if settings.optimizer.name not in FUSED:
        return False
    return device.type == "cpu" or (device.type == "cuda" and settings.precision != "fp16")


def _check(step: int, lr: float, loss: float, norm: float, last_loss: float) -> None:
    if not math.isfinite(loss):
        raise NotFiniteError(step, lr, f"the loss is {loss}", last_loss)
    if not math.isfinite(norm):
        raise NotFiniteError(step, lr, f"the gradient's norm is {norm}", last_loss)
