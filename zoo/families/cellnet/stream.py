"""A CellNet on a stream: its cores persist from step to step and from sample to sample, and each step has new data.

Source: the public CellNet repository's README, whose InCells may receive additional data in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data.task import Task
from zoo.families.cellnet.layers import config_of
from zoo.families.cellnet.learner import step_cosine
from zoo.families.cellnet.model import Cellnet
from zoo.families.cellnet.topology import Topology


@dataclass(frozen=True)
class StreamStep:
    """The result of a step of training."""

    logits: Tensor
    """``[B, out_features]``, detached."""
    loss_a: float | None
    """Distance of the cores from where the previous step's gradient asked them to go; None in the first step."""
    loss_b: float | None
    """Cross-entropy of the logits; None in a step without labels."""
    cosine: float | None
    """Cosine between the move that the cores made and the move that the previous step's gradient asked for."""


class CellStream(nn.Module):
    """Cells that live on: ``forward(x [B, in_features])`` takes one step and returns logits ``[B, out_features]``.

    ``x`` may be None, a step without input. :meth:`learn` takes a step of training. Cores start as ones and persist
    until :meth:`reset`; they are state, not part of a ``state_dict``. Gradients run through windows of ``truncate``
    steps, with one optimizer step at the end of each. ``loss_a`` weights the prediction of the gradient step C2 = C1 -
    ``core_lr`` dL/dC1. The other options are those of :class:`zoo.layers.CellBlock`. Raises ValueError for options that
    do not fit each other.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        cells: int = 4,
        in_cells: int = 2,
        out_cells: int = 1,
        core: int | tuple[int, ...] = 32,
        hidden: int = 32,
        topology: Topology | None = None,
        truncate: int = 1,
        loss_a: float = 1.0,
        core_lr: float = 1.0,
    ) -> None:
        super().__init__()
        if truncate < 1:
            raise ValueError(f"truncate: found {truncate}, allowed at least 1")
        config = config_of(
            cells,  # enough steps for the longest path from an InCell to an OutCell
            topology,
            cells=cells,
            in_cells=in_cells,
            out_cells=out_cells,
            core=core,
            hidden=hidden,
            loss_a=loss_a,
            core_lr=core_lr,
        )
        self.net = Cellnet(config, Task((in_features,), out_features))
        self.truncate = truncate
        self.reset()

    def reset(self) -> None:
        """Forget the cores: the next step is the first of a new stream."""
        self.cores: Tensor | None = None
        self._target: Tensor | None = None
        self._losses: list[Tensor] = []

    def forward(self, x: Tensor | None, batch: int = 1) -> Tensor:
        """Take a step; without input, the first one needs the number of streams, ``batch``."""
        first = self.cores is None
        cores = self.net.initial_cores(batch if x is None else len(x)) if self.cores is None else self.cores
        if x is not None and len(x) != len(cores):
            raise ValueError(f"x: found {len(x)} streams, allowed the {len(cores)} of the steps before; call reset()")
        self.cores = self.net.step(cores, None if x is None else self.net.feed(x), first)
        self._target = None  # that of a step of training, for the very next one
        return self.net.read(self.cores)

    def learn(self, x: Tensor | None, labels: Tensor | None, optimizer: torch.optim.Optimizer) -> StreamStep:
        """Take a step of training; ``labels [B]`` may be None, if the step has no task.

        Raises ValueError for a first step without input.
        """
        if x is None and self.cores is None:
            raise ValueError("x: found None in the first step of a stream, expected inputs [B, in_features]")
        config, before, target = self.net.config, self.cores, self._target
        logits = self(x)
        cores = self.cores
        assert cores is not None
        a = None if target is None else (cores - target).square().sum((1, 2)) / sum(config.cores)
        b = None if labels is None else F.cross_entropy(logits, labels, reduction="none")
        cosine = None
        if before is not None and target is not None:
            with torch.no_grad():
                cosine = float(step_cosine(before, cores, target).mean())
        loss = torch.zeros(len(cores), device=cores.device)
        loss = loss if b is None else loss + b
        loss = loss if a is None else loss + config.loss_a * a
        slope = torch.zeros_like(cores)
        if loss.requires_grad:
            (slope,) = torch.autograd.grad(loss.sum(), cores, retain_graph=True)
        self._target = cores - config.core_lr * slope
        self._losses.append(loss.mean())
        if len(self._losses) == self.truncate:
            self._end_window(optimizer)
        means = [None if part is None else float(part.detach().mean()) for part in (a, b)]
        return StreamStep(logits.detach(), means[0], means[1], cosine)

    def _end_window(self, optimizer: torch.optim.Optimizer) -> None:
        total = torch.stack(self._losses).sum()
        if total.requires_grad:
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        assert self.cores is not None
        assert self._target is not None
        self.cores, self._target, self._losses = self.cores.detach(), self._target.detach(), []
