"""normnet models, which can keep learning after training, one input at a time."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.model import Model

# Part of the training side, so sdk refers to it by name.
_ONLINE = "zoo.families.normnet.online"


class NormnetTrace(NamedTuple):
    """The outputs of a normnet's layers; for one input, without the B axis."""

    layers: tuple[NDArray[np.float32], ...]
    """Per layer ``[B, channels, *space]`` after pooling, or ``[B, units]``; the last are the logits."""
    logits: NDArray[np.float32]
    """``[1, B, classes]``: the last layer's, which are :meth:`Model.logits`."""

    def __repr__(self) -> str:
        shapes = " -> ".join(str(list(layer.shape)) for layer in self.layers)
        return f"<NormnetTrace: {shapes}>"


class NormnetModel(Model):
    """A normnet, whose torch backend can learn online."""

    def trace(self, inputs: Any, *, invert: Invert = "auto", batch: bool | None = None) -> NormnetTrace:
        """Return the outputs of all layers, for all inputs at once. Needs the torch backend."""
        module, runner = self.module, self._runner
        prepared, single = self._prepare_all(inputs, invert, batch)
        layers = tuple(runner.states(module.states, prepared))  # type: ignore[attr-defined]
        if single:
            layers = tuple(layer[0] for layer in layers)
        return NormnetTrace(layers, layers[-1][None])

    def online(self, *, batch: bool | None = None, **options: Any) -> Any:
        """Return an online learner that updates this model's own weights, so that :meth:`predict` uses them.

        Its ``update(inputs, target_fn)`` takes the same inputs as :meth:`predict` and passes ``target_fn`` a tensor of
        logits, ``[classes]`` or ``[B, classes]``; ``batch`` says which for arrays ``[1, H, W]``. Options are those of
        :class:`zoo.families.normnet.online.OnlineLearner`: optimizer, power, tree. Do not use the model from another
        thread while it learns. Raises LoadError unless the model is on the torch backend.
        """
        module = self.module
        import torch  # installed, because the model is on the torch backend

        device = next(module.parameters()).device

        def prepare(inputs: Any) -> tuple[torch.Tensor, bool]:
            prepared, single = self._prepare_all(inputs, "auto", batch)
            return torch.from_numpy(prepared).to(device), single

        return importlib.import_module(_ONLINE).OnlineLearner(module, prepare=prepare, **options)


MODEL = NormnetModel
