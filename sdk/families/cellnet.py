"""CellNet models: predictions after any number of time steps, and traces of the cells."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.errors import ArtifactError, LoadError
from sdk.inputs import FloatArray
from sdk.model import Errors, Model, Network, softmax
from sdk.validation import check_positive, describe


class CellnetTrace(NamedTuple):
    """The state of a CellNet after each of ``S`` steps; for one input, without the batch axis."""

    cores: NDArray[np.float32]
    """``[S, B, N, C]`` for N cells whose largest core has C values; smaller cores are padded with 0."""
    logits: NDArray[np.float32]
    """``[S, B, classes]``."""

    def __repr__(self) -> str:
        steps, *batch, cells, values = self.cores.shape
        inputs = f"{batch[0]} inputs" if batch else "one input"
        return f"<CellnetTrace: {steps} steps, {inputs}, {cells} cells of up to {values} values>"


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
        found = self._runner.properties.get("steps")  # type: ignore[attr-defined]
        if found is None or not re.fullmatch(r"[1-9][0-9]{0,5}", found):
            raise ArtifactError(
                f"{self.name}: model.onnx: its metadata has steps {describe(found)}, allowed 1 to 999999"
            )
        return int(found)

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        steps: int | None = None,
        *,
        top_k: None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Literal["raise"] = "raise",
    ) -> str | list[str]: ...

    @overload
    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        steps: int | None = None,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any: ...

    def predict(
        self,
        inputs: Any,
        batch_size: int = 64,
        steps: int | None = None,
        *,
        top_k: int | None = None,
        invert: Invert = "auto",
        batch: bool | None = None,
        errors: Errors = "raise",
    ) -> Any:
        """Return the most likely label after ``steps``, or what ``top_k`` and ``errors`` ask for (see Model)."""
        return self._predict(self._network(steps), inputs, batch_size, top_k, invert, batch, errors)

    def predict_proba(
        self,
        inputs: Any,
        batch_size: int = 64,
        steps: int | None = None,
        *,
        invert: Invert = "auto",
        batch: bool | None = None,
    ) -> NDArray[np.float32]:
        """Return probabilities after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size, steps, invert=invert, batch=batch))

    def logits(
        self,
        inputs: Any,
        batch_size: int = 64,
        steps: int | None = None,
        *,
        invert: Invert = "auto",
        batch: bool | None = None,
    ) -> NDArray[np.float32]:
        """Return logits after ``steps``: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._run(self._network(steps), inputs, batch_size, invert, batch)

    def trace(
        self, inputs: Any, steps: int | None = None, *, invert: Invert = "auto", batch: bool | None = None
    ) -> CellnetTrace:
        """Return cores and logits after each of ``steps``, for all inputs at once. Needs the torch backend."""
        module, count, runner = self.module, self._checked(steps), self._runner
        prepared, single = self._prepare_all(inputs, invert, batch)

        def states(x: Any) -> list[Any]:
            traced = module(x, count, trace=True)
            return [*traced.cores, *traced.logits]

        found = runner.states(states, prepared)  # type: ignore[attr-defined]
        cores, logits = np.stack(found[:count]), np.stack(found[count:])
        return CellnetTrace(cores[:, 0], logits[:, 0]) if single else CellnetTrace(cores, logits)

    def _network(self, steps: int | None) -> Network:
        """Return the network that computes logits after ``steps``."""
        if steps is None or self._checked(steps) == self.steps:
            return self._runner.logits
        if self.backend != "torch":
            raise LoadError(
                f"the {self.backend} backend computes {self.steps} steps, found {steps}; "
                f"load {self.name} with backend='torch' to choose the number"
            )
        module, runner = self.module, self._runner

        def logits(x: FloatArray) -> NDArray[np.float32]:
            [found] = runner.states(lambda inputs: [module(inputs, steps)], x)  # type: ignore[attr-defined]
            answer: NDArray[np.float32] = found
            return answer

        return logits

    def _checked(self, steps: int | None) -> int:
        return self.steps if steps is None else check_positive(steps, "steps")


MODEL = CellnetModel
