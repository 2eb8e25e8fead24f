"""Online learning: a function computes the target of each input from the network's own output.

The public brains repository does reinforcement learning and iterative training in this way: the network sees an input,
answers, and then receives the target of its answer.
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
    """The result of an update."""

    output: Tensor
    """The network's output before the update, ``[outputs]`` or ``[B, outputs]``."""
    target: Tensor
    """The target that the target function returned, of the same shape."""
    error: float
    """``|output - target|^p``, summed over outputs and averaged over the batch."""
    checkpoint: Checkpoint | None
    """The checkpoint that the tree saved, or None."""


class OnlineLearner:
    """Trains ``module`` in place, one input or one batch at a time.

    The loss is ``|output - target|^p``, so outputs that equal their target have no gradient. The optimizer is Adam at
    1e-2 unless another one over the module's parameters is given; docs/families/normnet.md compares it with the
    original's Adadelta. A ``tree`` observes the errors of updates; :meth:`search` continues from one of its
    checkpoints.

    Inputs are tensors or arrays ``[*input_shape]`` or ``[B, *input_shape]``, ready for the network. For other inputs,
    ``prepare`` converts one to ``(batch [B, *input_shape], True if it was a single input)``.
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
            raise ValueError(f"power: found {power}, expected at least 1")
        self.module = module
        self.optimizer = optimizer or torch.optim.Adam(module.parameters(), lr=1e-2)
        self.power = power
        self.tree = tree
        self._prepare = prepare or self._batch

    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """Return the output of one input ``[outputs]`` or of a batch ``[B, outputs]``, without learning."""
        return self._forward(x)

    def update(self, x: Any, target_fn: Callable[[Tensor], Any]) -> Update:
        """Take one step from the output towards ``target_fn(output)``, both of the shape that :meth:`predict` returns.

        Raises ValueError, and changes nothing, if the target has another shape or values that are not finite.
        """
        output = self._forward(x)
        target = torch.as_tensor(target_fn(output.detach().clone()), dtype=output.dtype, device=output.device)
        if target.shape != output.shape:
            raise ValueError(f"target_fn returned shape {list(target.shape)}, expected {list(output.shape)}")
        if not target.isfinite().all():
            raise ValueError("target_fn returned values that are not finite")
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

    def search(self, pressure: float = 0.5, generator: torch.Generator | None = None) -> Checkpoint:
        """Continue from the checkpoint that :meth:`CheckpointTree.search` picks, and return it."""
        choice = self._tree().search(pressure, generator)
        self.restore(choice.number)
        return choice

    def restore(self, number: int) -> None:
        """Continue from a checkpoint, which becomes the parent of the next, with an empty optimizer state."""
        self.module.load_state_dict(self._tree().restore(number))
        self.optimizer.state.clear()

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
            raise ValueError(f"inputs: found shape {list(values.shape)}, expected {list(shape)} or a batch of them")
        return values, False

    def _tree(self) -> CheckpointTree:
        if self.tree is None:
            raise ValueError("this learner has no checkpoint tree; create it with tree=CheckpointTree(window=...)")
        return self.tree
