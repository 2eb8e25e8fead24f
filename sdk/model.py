"""A loaded model: people's inputs in, labels and numpy arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.artifact import ArtifactConfig
from sdk.backends import Backend
from sdk.errors import CellzooError, LoadError
from sdk.inputs import FloatArray, InputSpec
from sdk.strict import describe


class Model:
    """A trained model, made by :func:`sdk.load`. Its methods may be called from several threads.

    ``inputs`` are a path, a PIL image, an array, or a batch or list of these: see
    :meth:`sdk.inputs.InputSpec.prepare`, which also raises the InputError for what the model cannot take.
    ``batch_size`` bounds how many inputs are computed (and files held in memory) at once.
    """

    def __init__(self, config: ArtifactConfig, backend: str, runner: Backend) -> None:
        self.config = config
        self.backend = backend
        """Which backend runs it, by name."""
        self.origin = ""
        """Where it was loaded from, as :func:`sdk.load` takes it: its folder, or ``user/name@commit``."""
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
        """What was measured when the model was made."""
        return self.config.metrics

    @property
    def module(self) -> Any:
        """The ``torch.nn.Module`` in eval mode; raises LoadError on a backend that has none."""
        if self.backend != "torch":
            raise LoadError(f"the {self.backend} backend has no module; load {self.name} with backend='torch'")
        return self._runner.module  # type: ignore[attr-defined]

    def predict(self, inputs: Any, batch_size: int = 64) -> str | list[str]:
        """The most likely label: one string for one input, a list of them for a batch."""
        return self._name(self.logits(inputs, batch_size))

    def predict_proba(self, inputs: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """Probabilities that sum to one: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return softmax(self.logits(inputs, batch_size))

    def logits(self, inputs: Any, batch_size: int = 64) -> NDArray[np.float32]:
        """What the softmax is taken of: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        return self._run(self._runner.logits, inputs, batch_size)

    def _run(
        self, network: Callable[[FloatArray], NDArray[np.float32]], inputs: Any, batch_size: int
    ) -> NDArray[np.float32]:
        """What a network makes of people's inputs: ``[classes]`` for one input, ``[B, classes]`` for a batch."""
        check_batch_size(batch_size)
        batches, single = self.input_spec.batches(inputs, batch_size)
        logits = self._finite(np.concatenate([np.empty((0, len(self.labels)), np.float32), *map(network, batches)]))
        return logits[0] if single else logits

    def _finite(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(logits).all():
            raise CellzooError(f"{self.name} gives NaN or infinite logits for these inputs; its weights overflow")
        return logits

    def _name(self, logits: NDArray[np.float32]) -> str | list[str]:
        """The labels of logits ``[classes]`` or ``[B, classes]``."""
        if logits.ndim == 1:
            return self.labels[int(logits.argmax())]
        return [self.labels[i] for i in logits.argmax(axis=1)]

    def __repr__(self) -> str:
        size = f"{self.config.parameters} parameters"
        return f"<{self.name}: {self.config.family}, {size}, {self.backend} backend>"


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities ``[..., classes]`` that sum to one."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError unless it is a positive integer."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer, found {describe(batch_size)}")
