"""A loaded model as a scikit-learn classifier. The only module of sdk that imports scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
except ImportError as error:
    raise ImportError("to_sklearn needs scikit-learn: pip install scikit-learn") from error

from sdk.errors import InputError
from sdk.validation import describe


class TrainedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model that predicts in pipelines, scorers and ensembles; see :meth:`sdk.Model.to_sklearn`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def classes_(self) -> NDArray[Any]:
        """The sorted labels: integers if all of them are written like integers, else strings."""
        return np.sort(self._labels)

    @property
    def _labels(self) -> NDArray[Any]:
        """The labels in the model's order."""
        labels = self.model.labels
        try:
            numbers = [int(label) for label in labels]
        except ValueError:
            return np.array(labels)
        return np.array(numbers if [str(number) for number in numbers] == list(labels) else labels)

    @property
    def n_features_in_(self) -> int:
        """Number of values in one row of ``X``."""
        return int(np.prod(self.model.input_spec.shape))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, X: Any, y: Any = None) -> TrainedClassifier:  # noqa: N803 (scikit-learn's name)
        """Raise InputError, since the model is trained."""
        raise InputError(
            f"{self.model.name} is trained and cannot be fitted; where fit is called, wrap it in "
            "sklearn.frozen.FrozenEstimator, or train with zoo.estimator.ZooClassifier"
        )

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the most likely class of each input."""
        found: NDArray[Any] = self._labels[self._probabilities(X).argmax(1)]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Return probabilities ``[N, classes]`` in the order of ``classes_``; each row sums to one."""
        found: NDArray[np.float32] = self._probabilities(X)[:, np.argsort(self._labels)]
        return found

    def _probabilities(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Return probabilities ``[N, classes]`` in the order of the model's labels."""
        probabilities: NDArray[np.float32] = self.model.predict_proba(
            self._rows(X), batch=True if self.model.input_spec.fits_one_and_batch(X) else None
        )
        if probabilities.ndim != 2:
            raise InputError(f"X: found one input, {describe(X)}, expected a batch of inputs")
        return probabilities

    def _rows(self, X: Any) -> Any:  # noqa: N803
        """Return flat rows of an image model as images; anything else as it is."""
        spec = self.model.input_spec
        shape = getattr(X, "shape", None)
        if spec.kind != "image" or shape is None or len(shape) != 2 or shape[1] != self.n_features_in_:
            return X
        return np.asarray(X).reshape(-1, *spec.shape)
