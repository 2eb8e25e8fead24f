"""Online learning: the label of each input is computed from the network's own output.

It is how the public brains repository does reinforcement and iterative training: see an input, answer, be told what
the answer should have been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.families.normnet.checkpoint_tree import Checkpoint, CheckpointTree
from zoo.families.normnet.layers import Layer
from zoo.families.normnet.learner import power_loss
from zoo.families.normnet.model import Normnet


@dataclass(frozen=True)
class Update:
    """What an update did."""

    output: Tensor
    """The network's output before it, ``[outputs]`` or ``[B, outputs]``."""
    target: Tensor
    """What the target function made of the output."""
    error: float
    """``|output - target|^p``, summed over outputs and averaged over the batch."""
    checkpoint: Checkpoint | None
    """The checkpoint that the tree saved, if it did."""


class OnlineLearner:
    """Trains ``module`` in place, an input (or a batch of them) at a time.

    The loss is ``|output - target|^p``, so outputs whose target is the output itself are left alone. The optimizer is
    Adam at 1e-2 unless another one over the module's parameters is given (docs/normnet.md has it beside the original's
    Adadelta). With a ``tree`` the errors of updates are observed; :meth:`search` goes on from one of its checkpoints.

    Inputs are tensors or arrays ``[*input_shape]`` or ``[B, *input_shape]``, ready for the network; ``prepare`` makes
    of anything else (a batch ``[B, *input_shape]``, whether it was a single input).
    """

    def __init__(
        self,
        module: Normnet,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        power: float = 2.0,
        tree: CheckpointTree | None = None,
        prepare: Callable[[Any], tuple[Tensor, bool]] | None = None,
    ) -> None:
        if power < 1:
            raise ValueError(f"power should be at least 1, found {power}")
        self.module = module
        self.optimizer = optimizer or torch.optim.Adam(module.parameters(), lr=1e-2)
        self.power = power
        self.tree = tree
        self._prepare = prepare or self._batch

    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """The output of one input ``[outputs]`` or of a batch ``[B, outputs]``; nothing is learned."""
        return self._forward(x)

    def update(self, x: Any, target_fn: Callable[[Tensor], Any]) -> Update:
        """One step from the output towards ``target_fn(output)``, both as :meth:`predict` gives them.

        Raises ValueError for a target of another shape or with values that are not finite, and changes nothing then.
        """
        output = self._forward(x)
        target = torch.as_tensor(target_fn(output.detach().clone()), dtype=output.dtype, device=output.device)
        if target.shape != output.shape:
            raise ValueError(f"target_fn gave shape {list(target.shape)}, the output has {list(output.shape)}")
        if not target.isfinite().all():
            raise ValueError("target_fn gave values that are not finite")
        loss = power_loss(output, target, self.power)
        error = float(loss.detach())
        checkpoint = self.tree.observe(error, self.module.state_dict()) if self.tree is not None else None
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        for layer in self.module.modules():
            if isinstance(layer, Layer):
                layer.clamp_()
        return Update(output.detach(), target.detach(), error, checkpoint)

    def _forward(self, x: Any) -> Tensor:
        batch, single = self._prepare(x)
        output: Tensor = self.module(batch)
        return output[0] if single else output

    def _batch(self, x: Any) -> tuple[Tensor, bool]:
        values = torch.as_tensor(x, dtype=torch.float32)
        shape = self.module.input_shape
        if values.shape == shape:
            return values[None], True
        if values.shape[1:] != shape:
            raise ValueError(f"inputs should be {list(shape)} or a batch of that, found shape {list(values.shape)}")
        return values, False

    def search(self, pressure: float = 0.5, generator: torch.Generator | None = None) -> Checkpoint:
        """Go on from a checkpoint of the tree that is picked by :meth:`CheckpointTree.search`; it is returned."""
        choice = self._tree().search(pressure, generator)
        self.restore(choice.number)
        return choice

    def restore(self, number: int) -> None:
        """Go on from one checkpoint, the parent of the next, with a fresh optimizer."""
        self.module.load_state_dict(self._tree().restore(number))
        self.optimizer.state.clear()

    def _tree(self) -> CheckpointTree:
        if self.tree is None:
            raise ValueError("this learner has no checkpoint tree; make it with tree=CheckpointTree(window=...)")
        return self.tree
