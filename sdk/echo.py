"""Models that copy their input: arrays in, arrays out."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.errors import InputError, LoadError
from sdk.inputs import FloatArray
from sdk.model import Model


class EchoModel(Model):
    """A model that was trained to copy its input. ``inputs`` and options are those of :class:`sdk.model.Model`.

    It has no classes: ``labels`` is empty, and :meth:`logits` gives the copy in the network's own units, flat.
    """

    def predict(  # type: ignore[override]  # another answer than a label
        self, inputs: Any, batch_size: int = 64, *, invert: Invert = "auto", batch: bool | None = None
    ) -> NDArray[np.float32]:
        """Return the copies in the units of the inputs: ``[*shape]`` for one input, ``[B, *shape]`` for a batch.

        Images have values from about 0 (black) to 1 (white); the network may overshoot.
        """
        return self._in_units(self.logits(inputs, batch_size, invert=invert, batch=batch))

    def errors(
        self, inputs: Any, batch_size: int = 64, *, invert: Invert = "auto", batch: bool | None = None
    ) -> NDArray[np.float32]:
        """Return the mean squared error of each copy, in units of the training data's variance: a scalar or ``[B]``."""
        batches, single = self._prepare(inputs, batch_size, invert, batch)
        found = [self._errors(prepared) for prepared in batches]
        errors = np.concatenate([np.empty(0, np.float32), *found])
        return errors[0] if single else errors

    def predict_proba(self, *_: Any, **__: Any) -> NoReturn:
        """Raise InputError: an echo has no classes."""
        raise InputError(f"predict_proba: {self.name} copies its input and has no classes; use predict or errors")

    def trace(self, *_: Any, **__: Any) -> NoReturn:
        """Raise LoadError: only classifiers are traced."""
        raise LoadError(f"trace: found {self.name}, which copies its input, allowed: a classifier; call its module")

    def to_sklearn(self) -> NoReturn:
        """Raise LoadError: an echo is no classifier."""
        raise LoadError(f"to_sklearn: {self.name} copies its input and is no classifier; use predict or errors")

    def _errors(self, prepared: FloatArray) -> NDArray[np.float32]:
        difference = self._finite(self._runner.logits(prepared)) - prepared.reshape(len(prepared), -1)
        errors: NDArray[np.float32] = np.square(difference).mean(axis=1)
        return errors

    def _in_units(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        spec = self.input_spec
        axes = (-1,) + (1,) * (len(spec.shape) - 1)
        std, mean = (np.array(numbers, np.float32).reshape(axes) for numbers in (spec.std, spec.mean))
        copies: NDArray[np.float32] = outputs.reshape(*outputs.shape[:-1], *spec.shape) * std + mean
        return copies
