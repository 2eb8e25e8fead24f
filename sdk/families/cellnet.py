"""CellNet models: predictions after any number of time steps, and traces of the cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.errors import LoadError
from sdk.inputs import FloatArray
from sdk.model import Model
from sdk.validation import check_positive


class CellnetTrace(NamedTuple):
    """The state of a CellNet after each of ``S`` steps; for one input, without the batch axis."""

    cores: NDArray[np.float32]
    """``[S, B, N, C]`` for N cells whose largest core has C values; smaller cores are padded with 0."""
    logits: NDArray[np.float32]
    """``[S, B, classes]``."""


class CellnetModel(Model):
    """A CellNet, whose predictions take ``steps``, the number of time steps to run (default: the model's own).

    Any other number needs the torch backend, because model.onnx computes a fixed number of steps. Raises InputError
    unless ``steps`` is a positive integer, and LoadError for a number that the backend cannot compute.
    """

    @property
    def steps(self) -> int:
        """The number of steps of a prediction by default."""
        if self.backend == "torch":
            steps: int = self.module.config.input_steps
            return steps
        properties = self._runner.session.get_modelmeta().custom_metadata_map  # type: ignore[attr-defined]
        return int(properties["steps"])

    def predict(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> str | list[str]:
        """Return the most likely label after ``steps``: a string for one input, a list of strings for a batch."""
        return self._after(steps).predict(inputs, batch_size)

    def predict_proba(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> NDArray[np.float32]:
        """Return probabilities after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._after(steps).predict_proba(inputs, batch_size)

    def logits(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> NDArray[np.float32]:
        """Return logits after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._after(steps).logits(inputs, batch_size)

    def trace(self, inputs: Any, steps: int | None = None) -> CellnetTrace:
        """Return cores and logits after each of ``steps``, for all inputs at once. Needs the torch backend."""
        module, count = self.module, self._checked(steps)
        import torch  # installed, because the model is on the torch backend

        prepared, single = self.input_spec.prepare(inputs)
        device = next(module.parameters()).device
        with torch.inference_mode():
            traced = module(torch.from_numpy(prepared).to(device), count, trace=True)
        cores, logits = (torch.stack(values).float().cpu().numpy() for values in traced)
        return CellnetTrace(cores[:, 0], logits[:, 0]) if single else CellnetTrace(cores, logits)

    def _after(self, steps: int | None) -> Model:
        """Return this model, fixed to predict after ``steps``."""
        if steps is None or self._checked(steps) == self.steps:
            return Model(self.config, self.backend, self._runner)
        if self.backend != "torch":
            raise LoadError(
                f"the {self.backend} backend computes {self.steps} steps, found {steps}; "
                f"load {self.name} with backend='torch' to choose the number"
            )
        return Model(self.config, self.backend, _Steps(self.module, steps))

    def _checked(self, steps: int | None) -> int:
        return self.steps if steps is None else check_positive(steps, "steps")


class _Steps:
    """A backend that runs the module for a given number of steps."""

    def __init__(self, module: Any, steps: int) -> None:
        self.module = module
        self.steps = steps

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Return the logits ``[B, classes]`` of prepared inputs ``[B, *shape]``."""
        import torch

        device = next(self.module.parameters()).device
        with torch.inference_mode():
            output: NDArray[np.float32] = self.module(torch.from_numpy(x).to(device), self.steps).float().cpu().numpy()
        return output


MODEL = CellnetModel
