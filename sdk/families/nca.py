"""Meta-NCA models: a classifier, and the rule that grows further ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdk.appearance import Invert
from sdk.cells import is_missing
from sdk.columns import Columns
from sdk.errors import CellzooError, InputError, LoadError
from sdk.inputs import FloatArray
from sdk.model import Model
from sdk.tables import named_columns, read_all
from sdk.validation import describe, is_integer

_LARGEST_SEED = 2**63 - 1


class EvolvedClassifier:
    """A task network that a rule grew, as returned by :meth:`NcaModel.evolve`.

    It predicts with numpy alone, in the manner of a scikit-learn classifier.
    """

    def __init__(self, model: NcaModel, layers: int | None, hidden: int | None, steps: int | None, seed: int) -> None:
        self._model, self._layers, self._hidden, self._steps, self._seed = model, layers, hidden, steps, seed
        self.classes_: NDArray[Any] = np.array(model.labels)
        """Possible predictions: the sorted labels of ``y``, or the model's own for a rule that takes no labels."""
        self.weights: list[FloatArray] = []
        """Per layer ``[inputs, outputs]``."""
        self.history: list[list[FloatArray]] = []
        """The weights before the first step and after each."""
        self.columns: Columns | None = model.input_spec.columns
        """The columns by whose names ``X`` is read; of a rule that learns, those of the DataFrame that it was grown
        from. None if they have no names."""

    @property
    def n_features_in_(self) -> int:
        """Number of input features."""
        return len(self._mean)

    def fit(self, X: Any = None, y: Any = None) -> EvolvedClassifier:  # noqa: N803 (scikit-learn's name)
        """Grow the network again, from ``X [samples, features]`` and, for a rule that learns, labels ``y [samples]``.

        Raises InputError for examples that the rule cannot use.
        """
        module = self._model.module
        if self._model.config.model["rule"]["senses"] == "teaching":
            self.columns = named_columns(X)
        inputs, targets, features = self._support_set(X, y)
        architecture = module.architecture(self._layers, self._hidden, features, len(self.classes_))
        import torch

        device = module.shift.device
        examples = None if inputs is None else torch.from_numpy(inputs).to(device)
        labels = None if targets is None else torch.from_numpy(targets).to(device)
        try:
            grown = module.grow_one(examples, labels, architecture, self._steps, self._seed)
        except CellzooError as error:  # an architecture that the rule cannot grow
            raise InputError(str(error)) from None
        self._mean, self._std = (part.cpu().numpy().astype(np.float32) for part in (grown.shift, grown.scale))
        self._bias = bool(module.config.bias)
        self.weights = [weight.cpu().numpy() for weight in grown.weights]
        self.history = [[weight.cpu().numpy() for weight in weights] for weights in grown.history]
        return self

    def __repr__(self) -> str:
        units = " -> ".join(str(len(weight)) for weight in self.weights)
        size = f"{units} -> {self.weights[-1].shape[1]} units" if self.weights else "not grown"
        return f"<EvolvedClassifier: {size}, {len(self.classes_)} classes, grown by {self._model.name}>"

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the most likely class of each row of ``X [samples, features]``."""
        labels: NDArray[Any] = self.classes_[self.decision_function(X).argmax(1)]
        return labels

    def predict_proba(self, X: Any) -> FloatArray:  # noqa: N803
        """Return probabilities ``[samples, classes]``; each row sums to one."""
        logits = self.decision_function(X)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        probabilities: FloatArray = exponentials / exponentials.sum(1, keepdims=True)
        return probabilities

    def score(self, X: Any, y: Any) -> float:  # noqa: N803
        """Return the accuracy in [0, 1]: the share of rows of ``X`` predicted as in ``y``."""
        found, expected = self.predict(X), np.asarray(y)
        if expected.shape != found.shape:
            raise InputError(f"y: found shape {list(expected.shape)}, expected [{len(found)}], one label per row of X")
        return float((found == expected).mean())

    def decision_function(self, X: Any) -> FloatArray:  # noqa: N803
        """Return logits ``[samples, classes]``."""
        return self.logits_of(self.weights, self.rows(X))

    def rows(self, X: Any) -> FloatArray:  # noqa: N803
        """Return rows ``[samples, features]`` prepared for :meth:`logits_of`."""
        return self._rows(X, self.n_features_in_)

    def logits_of(self, weights: list[FloatArray], rows: FloatArray) -> FloatArray:
        """Return logits ``[samples, classes]`` of prepared rows by other weights, such as those of an earlier epoch."""
        x: FloatArray = (rows - self._mean) / self._std
        if self._bias:
            x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
        for number, weight in enumerate(weights):
            x = (x if number == 0 else np.maximum(x, 0)) @ weight
        return x

    def read_through(self, mean: FloatArray, std: FloatArray) -> None:
        """Read inputs as ``(x - mean) / std``, ``[features]`` each."""
        self._mean, self._std = mean, std

    def _support_set(self, inputs: Any, labels: Any) -> tuple[FloatArray | None, NDArray[np.int64] | None, int]:
        """Return prepared inputs, class numbers and the number of features.

        For a rule that learns, this sets ``classes_``.
        """
        model, rule = self._model, self._model.config.model["rule"]
        own = model.input_spec.shape[0]
        if rule["senses"] != "teaching":
            if labels is not None:
                raise InputError(
                    f"{model.name} encodes one data set and takes no labels; leave out y, or use a rule that learns, "
                    "such as nca-learner"
                )
            if inputs is None and rule["senses"] == "none":
                return None, None, own
            rows = self._rows(inputs, own)
            return rows, np.zeros(len(rows), np.int64), own
        if inputs is None or labels is None:
            raise InputError(f"{model.name} learns from examples; pass X [samples, features] and y [samples]")
        rows, given = self._rows(inputs, None), np.asarray(labels)
        if given.shape != (len(rows),):
            raise InputError(f"y: found shape {list(given.shape)}, expected [{len(rows)}], one label per row of X")
        self.classes_, numbers = _numbered(given)
        if len(self.classes_) < 2:
            raise InputError(f"y: found {len(self.classes_)} class, expected at least 2")
        return rows, numbers.astype(np.int64), rows.shape[1]

    def _rows(self, inputs: Any, features: int | None) -> FloatArray:
        """Return finite ``float32 [samples, features]``, prepared like the model's inputs if its rule encodes data."""
        if self._model.config.model["rule"]["senses"] != "teaching":
            rows, single = self._model.input_spec.prepare(inputs)
            if single:
                raise InputError(f"X: found one row of {rows.shape[1]} features, expected [samples, features]")
            return rows
        named = None if self.columns is None else read_all(inputs, self.columns)
        try:
            array = np.asarray(inputs, np.float32) if named is None else named
        except (TypeError, ValueError) as error:
            raise InputError(f"X: expected numbers [samples, features]: {error}") from None
        if array.ndim != 2 or not array.size or (features is not None and array.shape[1] != features):
            wanted = "features" if features is None else features
            raise InputError(
                f"X: found shape {list(array.shape)}, expected [samples, {wanted}] with at least one sample"
            )
        if not np.isfinite(array).all():
            raise InputError("X: found NaN or infinite values, expected finite numbers")
        return array


class NcaTrace(NamedTuple):
    """The growth of a task network, before the first of ``S`` epochs and after each; for one input, without B."""

    weights: tuple[tuple[FloatArray, ...], ...]
    """``S + 1`` times, per layer ``[inputs, outputs]``."""
    logits: FloatArray
    """``[S + 1, B, classes]``: the answers of the network after so many epochs."""

    def __repr__(self) -> str:
        return f"<NcaTrace: {len(self.weights) - 1} epochs, {len(self.weights[0])} layers>"


class NcaModel(Model):
    """A Meta-NCA model: ``predict`` runs the exported network, ``evolve`` grows another one."""

    def trace(
        self,
        inputs: Any,
        *,
        invert: Invert = "auto",
        batch: bool | None = None,
        examples: tuple[Any, Any] | None = None,
    ) -> NcaTrace:
        """Grow the exported network again and return its weights and answers epoch by epoch (torch backend).

        A rule that senses grows from data that the model does not hold: pass ``examples``, its ``(X, y)`` as for
        :meth:`evolve`. The last logits are those of :meth:`Model.logits`; with ``examples``, of the network that grew
        from them.
        """
        module = self.module
        if examples is None and self.config.model["rule"]["senses"] != "none":
            raise InputError(
                f"examples: found None, {self.name} grows from data that it does not hold; pass examples=(X, y)"
            )
        grown = EvolvedClassifier(self, None, None, None, module.config.seed)
        grown.fit(*(examples or (None, None)))
        if examples is None:
            grown.read_through(module.shift.cpu().numpy(), module.scale.cpu().numpy())
            rows, single = self._prepare_all(inputs, invert, batch)
        else:
            single = np.ndim(inputs) == 1
            rows = grown.rows([inputs] if single else inputs)
        logits = np.stack([grown.logits_of(weights, rows) for weights in grown.history])
        return NcaTrace(tuple(map(tuple, grown.history)), logits[:, 0] if single else logits)

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

        A rule that learns takes ``X [samples, features]`` and ``y [samples]``, the examples of any task. A rule that
        encodes its data set takes no ``y`` and needs no ``X``. ``layers`` (of weights), ``hidden`` (units per hidden
        layer) and ``steps`` (epochs of the evolution) default to the model's own. ``seed`` determines the start and
        which weights change in each step. Raises LoadError on any backend but torch, and InputError for arguments
        that the rule cannot use.
        """
        if self.backend != "torch":
            raise LoadError(
                f"evolve: found backend {self.backend!r}, expected 'torch'; load {self.name} with backend='torch'"
            )
        for name, value, least in (("layers", layers, 1), ("hidden", hidden, 1), ("steps", steps, 0)):
            if value is not None and (not is_integer(value) or value < least):
                raise InputError(f"{name}: found {describe(value)}, expected a whole number of at least {least}")
        if not is_integer(seed) or not 0 <= seed <= _LARGEST_SEED:
            raise InputError(f"seed: found {describe(seed)}, expected a whole number from 0 to {_LARGEST_SEED}")
        layers, hidden, steps = (None if value is None else int(value) for value in (layers, hidden, steps))
        return EvolvedClassifier(self, layers, hidden, steps, int(seed)).fit(X, y)


def _numbered(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted classes of labels ``[samples]`` and the class number of each.

    Raises InputError for labels that cannot be sorted, and for missing ones, which would be a class of their own.
    """
    if any(is_missing(label, frozenset()) for label in labels.tolist()):
        raise InputError("y: found missing labels (None or NaN), expected one per row; leave out the rows without")
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise InputError(f"y: found labels that cannot be sorted, expected one kind: {error}") from None


MODEL = NcaModel
