"""A loaded normnet can go on learning, one input at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.models import Model

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.families.normnet_online import OnlineLearner


class NormnetModel(Model):
    def online(self, **options: Any) -> OnlineLearner:
        """An online learner on this model's own weights: what it learns shows in :meth:`predict`.

        Its ``update(inputs, target_fn)`` takes inputs as :meth:`predict` does and gives ``target_fn`` a tensor of
        logits, ``[classes]`` or ``[B, classes]``. Options are those of
        :class:`zoo.families.normnet_online.OnlineLearner`: optimizer, power, tree. Nobody should use the model from
        another thread meanwhile. Raises LoadError unless the model is on the torch backend.
        """
        module = self.module
        import torch  # the torch backend is loaded, so it is there

        from zoo.families.normnet_online import OnlineLearner

        device = next(module.parameters()).device

        def prepare(inputs: Any) -> tuple[Tensor, bool]:
            prepared, single = self.input_spec.prepare(inputs)
            return torch.from_numpy(prepared).to(device), single

        return OnlineLearner(module, prepare=prepare, **options)


MODEL = NormnetModel
