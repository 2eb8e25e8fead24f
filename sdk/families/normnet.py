"""A loaded normnet can keep learning, one input at a time."""

from __future__ import annotations

import importlib
from typing import Any

from sdk.model import Model

# Part of the training side, so the SDK knows it by name alone.
_ONLINE = "zoo.families.normnet.online"


class NormnetModel(Model):
    def online(self, **options: Any) -> Any:
        """Return an online learner on this model's own weights: :meth:`predict` uses what it learns.

        Its ``update(inputs, target_fn)`` takes inputs as :meth:`predict` does and passes ``target_fn`` a tensor of
        logits, ``[classes]`` or ``[B, classes]``. Options are those of
        :class:`zoo.families.normnet.online.OnlineLearner`: optimizer, power, tree. Do not use the model from another
        thread meanwhile. Raises LoadError unless the model is on the torch backend.
        """
        module = self.module
        import torch  # loaded already, by the torch backend

        device = next(module.parameters()).device

        def prepare(inputs: Any) -> tuple[torch.Tensor, bool]:
            prepared, single = self.input_spec.prepare(inputs)
            return torch.from_numpy(prepared).to(device), single

        return importlib.import_module(_ONLINE).OnlineLearner(module, prepare=prepare, **options)


MODEL = NormnetModel
