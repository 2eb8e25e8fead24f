"""normnet models, which can keep learning after training, one input at a time."""

from __future__ import annotations

import importlib
from typing import Any

from sdk.model import Model

# Part of the training side, so sdk refers to it by name.
_ONLINE = "zoo.families.normnet.online"


class NormnetModel(Model):
    """A normnet, whose torch backend can learn online."""

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
