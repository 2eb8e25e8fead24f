"""Meta-NCA models: beside the network that answers, the rule that grows others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.errors import InputError, LoadError
from sdk.inputs import FloatArray
from sdk.model import Model
from sdk.validation import describe

_LARGEST_SEED = 2**63 - 1


class EvolvedClassifier:
    """A task network that a rule grew; numpy only, so it outlives the model. Made by :meth:`NcaModel.evolve`."""

    def __init__(self, model: NcaModel, layers: int | None, hidden: int | None, steps: int | None, seed: int) -> None:
        self._model, self._layers, self._hidden, self._steps, self._seed = model, layers, hidden, steps, seed
        self.classes_: NDArray[Any] = np.array(model.labels)
        """What a prediction may be: the labels given, sorted; the model's own for a rule without labels."""
        self.weights: list[FloatArray] = []
        """Per layer ``[inputs, outputs]``."""
        self.history: list[list[FloatArray]] = []
        """The weights before the first step and after each."""

    @property
    def n_features_in_(self) -> int:
        return len(self._mean)

    def fit(self, X: Any = None, y: Any = None) -> EvolvedClassifier:  # noqa: N803 (scikit-learn's name)
        """Grow the network anew from ``X [samples, features]`` and, for a rule that learns, labels ``y [samples]``.

        Raises InputError for examples that the rule cannot take.
        """
        module = self._model.module
        inputs, targets, features = self._lesson(X, y)
        architecture = module.architecture(self._layers, self._hidden, features, len(self.classes_))
        import torch

        shown = None if inputs is None else torch.from_numpy(inputs)
        labels = None if targets is None else torch.from_numpy(targets)
        try:
            grown = module.grow_one(shown, labels, architecture, self._steps, self._seed)
        except ValueError as error:
            raise InputError(str(error)) from None
        self._mean, self._std = (part.numpy().astype(np.float32) for part in (grown.shift, grown.scale))
        self._bias = bool(module.config.bias)
        self.weights = [weight.numpy() for weight in grown.weights]
        self.history = [[weight.numpy() for weight in weights] for weights in grown.history]
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The most likely class of each row of ``X [samples, features]``."""
        labels: NDArray[Any] = self.classes_[self.decision_function(X).argmax(1)]
        return labels

    def predict_proba(self, X: Any) -> FloatArray:  # noqa: N803
        """``[samples, classes]``, each row summing to one."""
        logits = self.decision_function(X)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        probabilities: FloatArray = exponentials / exponentials.sum(1, keepdims=True)
        return probabilities

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """The share of rows whose class is that in ``y``."""
        found, expected = self.predict(X), np.asarray(y)
        if expected.shape != found.shape:
            raise InputError(f"y has shape {list(expected.shape)}, {len(found)} rows of X need [{len(found)}]")
        return float((found == expected).mean())

    def decision_function(self, X: Any) -> FloatArray:  # noqa: N803
        """Logits ``[samples, classes]``."""
        x = self._rows(X, self.n_features_in_)
        x = (x - self._mean) / self._std
        if self._bias:
            x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
        for number, weight in enumerate(self.weights):
            x = (x if number == 0 else np.maximum(x, 0)) @ weight
        return x

    def _lesson(self, inputs: Any, labels: Any) -> tuple[FloatArray | None, NDArray[np.int64] | None, int]:
        """Prepared examples, class numbers (which set ``classes_``) and the number of features."""
        model, rule = self._model, self._model.config.model["rule"]
        own = model.input_spec.shape[0]
        if rule["senses"] != "teaching":
            if labels is not None:
                raise InputError(
                    f"{model.name} encodes one data set and takes no labels; leave y out, or use a rule that learns, "
                    "such as nca-learner"
                )
            if inputs is None and rule["senses"] == "none":
                return None, None, own
            rows = self._rows(inputs, own)
            return rows, np.zeros(len(rows), np.int64), own
        if inputs is None or labels is None:
            raise InputError(f"{model.name} learns from examples: give X [samples, features] and y [samples]")
        rows, given = self._rows(inputs, None), np.asarray(labels)
        if given.shape != (len(rows),):
            raise InputError(f"y has shape {list(given.shape)}, {len(rows)} rows of X need [{len(rows)}]")
        self.classes_, numbers = np.unique(given, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y holds {len(self.classes_)} class; at least 2 are needed")
        return rows, numbers.astype(np.int64), rows.shape[1]

    def _rows(self, inputs: Any, features: int | None) -> FloatArray:
        """Finite ``float32 [samples, features]``, prepared as the model takes them where it knows the data."""
        if self._model.config.model["rule"]["senses"] != "teaching":
            rows, single = self._model.input_spec.prepare(inputs)
            if single:
                raise InputError(f"X should be [samples, features], found one row of {rows.shape[1]}")
            return rows
        try:
            array = np.asarray(inputs, np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"X should be numbers [samples, features]: {error}") from None
        if array.ndim != 2 or not array.size or (features is not None and array.shape[1] != features):
            wanted = "features" if features is None else features
            raise InputError(f"X should be [samples, {wanted}] and not empty, found shape {list(array.shape)}")
        if not np.isfinite(array).all():
            raise InputError("X holds NaN or infinite values; the rule takes finite numbers only")
        return array


class NcaModel(Model):
    """A Meta-NCA model: ``predict`` asks the network it came with, ``evolve`` grows another."""

    def evolve(
        self,
        X: Any = None,  # noqa: N803 (scikit-learn's name)
        y: Any = None,
        *,
        layers: int | None = None,
        hidden: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> EvolvedClassifier:
        """Grow a new task network with the model's rule (torch backend).

        ``X [samples, features]``, ``y [samples]``: examples of any task, for a rule that learns; a rule that encodes
        its data set takes no ``y`` and needs no ``X``. ``layers`` of weights, ``hidden`` units between them and
        ``steps`` of the evolution are by default the model's; ``seed`` is of start and updates. Raises LoadError on
        another backend and InputError for what the rule cannot take.
        """
        if self.backend != "torch":
            raise LoadError(f"evolving needs the rule's module; load {self.name} with backend='torch'")
        for name, value, least in (("layers", layers, 1), ("hidden", hidden, 1), ("steps", steps, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InputError(f"{name} must be a whole number of at least {least}, found {describe(value)}")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _LARGEST_SEED:
            raise InputError(f"seed must be a whole number from 0 to {_LARGEST_SEED}, found {describe(seed)}")
        return EvolvedClassifier(self, layers, hidden, steps, seed).fit(X, y)


MODEL = NcaModel
