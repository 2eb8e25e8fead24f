"""Temporal training of a CellNet: each step learns the task, and to predict the previous step's gradient step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.transfer import send
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.learner import Learner, StepResult
from zoo.utils.errors import TrainingError

_GROWTH_STEPS = 10


class CellnetLearner(Learner):
    """Trains each step on loss (a), the move that the previous step's gradient asked for, and loss (b), the task.

    A step with input has L = (a) + (b), except that the first has no (a); a step without input has L = (a). Loss (a)
    of the next step compares the cores with C2 = C1 - eta dL/dC1. Cores, L and C2 belong to a sample, so they do not
    depend on the batch.
    """

    config: CellnetConfig

    def __init__(self, module: nn.Module, config: CellnetConfig) -> None:
        """Raises TrainingError if a window would leave parameters without gradient on several processes."""
        super().__init__(module, config)
        last_window = (config.steps - 1) // config.truncate * config.truncate
        if _processes() > 1 and config.loss_a and last_window >= config.input_steps:
            raise TrainingError(
                f"model.truncate {config.truncate} makes a window without input, in which parameters have no gradient; "
                f"on {_processes()} processes each window needs one of the {config.input_steps} steps with input, "
                f"so set model.truncate to {config.steps}"
            )

    def training_steps(self, inputs: Tensor, labels: Tensor) -> Iterator[StepResult]:
        """Yield one result per window of ``truncate`` steps; the last one's logs are those of the whole sequence."""
        c = self.config
        steps = c.steps if c.loss_a else c.input_steps  # without loss (a), steps without input have no loss
        core: Tensor | None = None
        target: Tensor | None = None
        log = _SequenceLog(labels)
        for start in range(0, steps, c.truncate):
            stop = min(start + c.truncate, steps)
            trace = self.module(inputs, stop, trace=True, start=start, cores=core)
            total = torch.zeros((), device=inputs.device)
            for step, after, logits in zip(range(start, stop), *trace, strict=True):
                a = None if target is None else self._distance(after, target)
                b = F.cross_entropy(logits, labels, reduction="none") if step < c.input_steps else None
                growth = self._weight(step)
                rest = growth if c.loss_growth_of == "both" else 1.0
                loss = _add(None if b is None else rest * b, None if a is None else growth * c.loss_a * a)
                log.add(step < c.input_steps, core, after, target, a, b, logits)
                (slope,) = torch.autograd.grad(loss.sum(), after, retain_graph=True)
                core, target = after, after - c.core_lr * slope
                total = total + loss.mean()
            assert core is not None
            assert target is not None
            core, target = core.detach(), target.detach()
            yield StepResult(total, log.means())

    def _distance(self, core: Tensor, target: Tensor) -> Tensor:
        """Loss (a) of each sample, ``[B]``: the mean over all its numbers, or the sum of cells' means."""
        squares = (core - target).square()
        if self.config.loss_a_form == "mean":
            return squares.sum((1, 2)) / sum(self.config.cores)
        sizes = send(torch.tensor(self.config.cores, dtype=squares.dtype, device="cpu"), squares.device)
        return (squares.sum(2) / sizes).sum(1)

    def _weight(self, step: int) -> float:
        return float((1 + self.config.loss_growth) ** min(step, _GROWTH_STEPS))


def step_cosine(before: Tensor, after: Tensor, target: Tensor) -> Tensor:
    """Cosine between the move that a step made and the move that the gradient asked for, per sample: ``[B]``.

    ``before`` is C1 of a step, ``target`` its C2 and ``after`` the next step's C1, each ``[B, N, C]``.
    """
    return F.cosine_similarity((after - before).flatten(1), (target - before).flatten(1), dim=1)


class _SequenceLog:
    """Means over the steps of one sequence."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self.values: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def add(
        self,
        with_input: bool,
        before: Tensor | None,
        after: Tensor,
        target: Tensor | None,
        a: Tensor | None,
        b: Tensor | None,
        logits: Tensor,
    ) -> None:
        measured = {"loss_a": a, "loss_b": b}
        if before is not None and target is not None:
            kind = "cosine_with_input" if with_input else "cosine_without_input"
            measured[kind] = step_cosine(before, after, target)
        for name, value in measured.items():
            if value is not None:
                self.values.setdefault(name, []).append(value.mean())
        self.values["accuracy"] = [(logits.argmax(-1) == self.labels).float().mean()]

    def means(self) -> dict[str, Tensor]:
        return {name: torch.stack(values).mean() for name, values in self.values.items()}


def _add(*losses: Tensor | None) -> Tensor:
    present = [loss for loss in losses if loss is not None]
    assert present
    return torch.stack(present).sum(0)


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
