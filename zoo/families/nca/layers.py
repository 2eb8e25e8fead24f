"""A network that a trained Meta-NCA rule grew for a support set, as a module of its own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.nca.model import MetaNca


class GrownClassifier(nn.Module):
    """A bias-free ReLU network whose weights a rule grew: ``[B, features]`` -> logits ``[B, classes]``.

    ``nca`` is a trained Meta-NCA, such as ``sdk.load("nca-learner", backend="torch").module``. Its rule evolves a new
    network for ``inputs [S, features]`` and integer ``labels [S]`` in ``classes`` classes (default: as many as the
    labels name), with ``hidden`` units in each of ``layers - 1`` hidden layers and for ``epochs`` (defaults: the
    config's). The grown weights are parameters, so gradient descent can continue from them.

    Raises BuildError for a network beyond the range of the rule's position codes, and ValueError for a support set
    whose shapes do not fit.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        nca: MetaNca,
        inputs: Tensor,
        labels: Tensor,
        *,
        classes: int | None = None,
        layers: int | None = None,
        hidden: int | None = None,
        epochs: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or not len(labels):
            found = f"{list(inputs.shape)} and {list(labels.shape)}"
            raise ValueError(f"inputs and labels should be [S, features] and [S], found {found}")
        classes = int(labels.max()) + 1 if classes is None else classes
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise ValueError(f"labels: found {int(labels.min())} to {int(labels.max())}, allowed 0 to {classes - 1}")
        units = nca.architecture(layers, hidden, inputs.shape[1], classes)
        grown = nca.grow_one(inputs, labels, units, epochs, seed)
        self.bias_input = bool(nca.config.bias)
        self.weights = nn.ParameterList(weight.detach().clone() for weight in grown.weights)
        self.register_buffer("shift", grown.shift.clone())
        self.register_buffer("scale", grown.scale.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Raw features ``[B, features]``, standardised as the support set was -> logits ``[B, classes]``."""
        x = (x - self.shift) / self.scale
        if self.bias_input:
            x = F.pad(x, (0, 1), value=1.0)
        *hidden, last = self.weights
        for weight in hidden:
            x = (x @ weight).relu()
        logits: Tensor = x @ last
        return logits
