"""A loaded model: takes files, images and arrays, gives labels and numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import ArtifactConfig
from sdk.backends import Backend
from sdk.errors import CellzooError, LoadError
from sdk.inputs import FloatArray, InputSpec
from sdk.validation import check_positive


class Model:
    """A trained model, loaded by :func:`sdk.load`. Its methods may be called from several threads.

    ``inputs`` is a path, a PIL image, an array, or a batch or list of these, as described in
    :meth:`sdk.inputs.InputSpec.prepare`. ``batch_size`` bounds the number of inputs that are computed, and of files
    that are held in memory, at once. Raises InputError for inputs that the model cannot take and for a ``batch_size``
    that is not a positive integer.
    """

    def __init__(self, config: ArtifactConfig, backend: str, runner: Backend) -> None:
        self.config = config
        self.backend = backend
        """The name of the backend that runs it."""
        self.origin = ""
        """The folder or ``user/name@commit`` from which :func:`sdk.load` loaded it."""
        self._runner = runner

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.config.labels

    @property
    def input_spec(self) -> InputSpec:
        return self.config.input

    @property
    def metrics(self) -> dict[str, Any]:
        """The measurements made when the model was trained."""
        return self.config.metrics

    @property
    def module(self) -> Any:
        """The ``torch.nn.Module`` in eval mode; raises LoadError on a backend without one."""
        if self.backend != "torch":
            raise LoadError(f"the {self.backend} backend has no module; load {self.name} with backend='torch'")
        return self._runner.module  # type: ignore[attr-defined]

    def predict(self, inputs: Any, batch_size: int = 64) -> str | list[str]:
        """Return the most likely label: a string for one input, a list of strings for a batch."""
        return self._name(self.logits(inputs, batch_size))

    def predict_proba(self, inputs: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """Return probabilities, which sum to one: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size))

    def logits(self, inputs: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """Return logits, the inputs of the softmax: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._run(self._runner.logits, inputs, batch_size)

    def _run(
        self, network: Callable[[FloatArray], NDArray[np.float32]], inputs: Any, batch_size: int
    ) -> NDArray[np.float32]:
        """Run a network on unprepared inputs: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        check_positive(batch_size, "batch_size")
        batches, single = self.input_spec.batches(inputs, batch_size)
        logits = self._finite(np.concatenate([np.empty((0, len(self.labels)), np.float32), *map(network, batches)]))
        return logits[0] if single else logits

    def _finite(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(logits).all():
            raise CellzooError(f"{self.name} gives NaN or infinite logits for these inputs; its weights overflow")
        return logits

    def _name(self, logits: NDArray[np.float32]) -> str | list[str]:
        """Return the label of logits ``[classes]``, or the labels of logits ``[B, classes]``."""
        if logits.ndim == 1:
            return self.labels[int(logits.argmax())]
        return [self.labels[i] for i in logits.argmax(axis=1)]

    def __repr__(self) -> str:
        size = f"{self.config.parameters} parameters"
        return f"<{self.name}: {self.config.family}, {size}, {self.backend} backend>"


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities ``[..., classes]`` of logits of the same shape."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
