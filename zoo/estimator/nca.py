"""The Meta-NCA rule that learns from labels, as a scikit-learn classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

import sdk
from sdk.errors import InputError
from sdk.validation import describe
from zoo.estimator.classes import classes_of
from zoo.estimator.rows import check_resolution, single_precision

if TYPE_CHECKING:
    from sdk.families.nca import EvolvedClassifier


class NcaClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that a trained Meta-NCA rule grows from ``X [N, features]`` and ``y [N]``, without gradients.

    ``model`` is a model of the family nca whose rule learns from labels. ``layers``, ``hidden`` and ``steps`` are those
    of :meth:`sdk.families.nca.NcaModel.evolve`; ``random_state`` seeds the start and the weights that change in each
    step; None takes the seed 0.
    """

    def __init__(
        self,
        model: str | Path = "nca-learner",
        *,
        layers: int | None = None,
        hidden: int | None = None,
        steps: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.model = model
        self.layers = layers
        self.hidden = hidden
        self.steps = steps
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> NcaClassifier:  # noqa: N803
        """Grow a network from examples, and return the estimator."""
        checked, targets = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_resolution(checked)
        rows = single_precision(checked)
        self.classes_, _ = classes_of(targets)
        seed = 0 if self.random_state is None else int(check_random_state(self.random_state).randint(2**31 - 1))
        loaded: Any = sdk.load(self.model, backend="torch")
        if not hasattr(loaded, "evolve"):
            raise InputError(f"model {describe(str(self.model))} is of family {loaded.config.family}, expected nca")
        self.network_: EvolvedClassifier = loaded.evolve(
            rows, targets, layers=self.layers, hidden=self.hidden, steps=self.steps, seed=seed
        )
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the most likely class of each row."""
        rows = self._rows(X)
        return self.network_.predict(rows)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return probabilities ``[N, classes]``; each row sums to one."""
        rows = self._rows(X)
        return self.network_.predict_proba(rows)

    def _rows(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        check_is_fitted(self)
        rows: NDArray[np.float32] = validate_data(self, X, dtype=np.float32, reset=False)
        return rows
