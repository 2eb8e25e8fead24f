"""A loaded CellNet can be asked for its answer after any number of steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.errors import LoadError
from sdk.inputs import FloatArray
from sdk.model import Model
from sdk.strict import describe


class CellnetTrace(NamedTuple):
    """What a CellNet did in each of ``S`` steps; for one input without the axis of the batch."""

    cores: NDArray[np.float32]
    """``[S, B, N, C]``: N cells, C the largest core, 0 beyond a smaller one's size."""
    logits: NDArray[np.float32]
    """``[S, B, classes]``."""


class CellnetModel(Model):
    """Its predictions take ``steps``: how many time steps to run, by default as many as the model says.

    Other numbers need the torch backend, as model.onnx computes a fixed number. Raises ValueError for what is no
    positive whole number, and LoadError for a number that the backend cannot run.
    """

    @property
    def steps(self) -> int:
        """The steps of a prediction that names no number."""
        if self.backend == "torch":
            steps: int = self.module.config.input_steps
            return steps
        properties = self._runner.session.get_modelmeta().custom_metadata_map  # type: ignore[attr-defined]
        return int(properties["steps"])

    def predict(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> str | list[str]:
        """The most likely label after ``steps``: one string for one input, a list of them for a batch."""
        return self._after(steps).predict(inputs, batch_size)

    def predict_proba(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> NDArray[np.float32]:
        """Probabilities after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._after(steps).predict_proba(inputs, batch_size)

    def logits(self, inputs: Any, batch_size: int = 64, steps: int | None = None) -> NDArray[np.float32]:
        """Logits after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._after(steps).logits(inputs, batch_size)

    def trace(self, inputs: Any, steps: int | None = None) -> CellnetTrace:
        """Cores and logits after each of ``steps``, all inputs at once; the torch backend has it."""
        module, count = self.module, self._checked(steps)
        import torch  # the torch backend is loaded, so it is there

        prepared, single = self.input_spec.prepare(inputs)
        device = next(module.parameters()).device
        with torch.inference_mode():
            seen = module(torch.from_numpy(prepared).to(device), count, trace=True)
        cores, logits = (torch.stack(values).float().cpu().numpy() for values in seen)
        return CellnetTrace(cores[:, 0], logits[:, 0]) if single else CellnetTrace(cores, logits)

    def _after(self, steps: int | None) -> Model:
        """The same model, answering after ``steps``."""
        if steps is None or self._checked(steps) == self.steps:
            return Model(self.config, self.backend, self._runner)
        if self.backend != "torch":
            raise LoadError(
                f"the {self.backend} backend computes {self.steps} steps, found {steps}; "
                f"load {self.name} with backend='torch' to choose"
            )
        return Model(self.config, self.backend, _Steps(self.module, steps))

    def _checked(self, steps: int | None) -> int:
        if steps is None:
            return self.steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a positive integer, found {describe(steps)}")
        return steps


class _Steps:
    """A backend that runs the module for a number of steps."""

    def __init__(self, module: Any, steps: int) -> None:
        self.module = module
        self.steps = steps

    def logits(self, x: FloatArray) -> NDArray[np.float32]:
        """Prepared inputs ``[B, *shape]`` -> logits ``[B, classes]``."""
        import torch

        device = next(self.module.parameters()).device
        with torch.inference_mode():
            output: NDArray[np.float32] = self.module(torch.from_numpy(x).to(device), self.steps).float().cpu().numpy()
        return output


MODEL = CellnetModel
