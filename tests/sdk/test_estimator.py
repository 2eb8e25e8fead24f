from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sdk
from sdk.errors import InputError
from sdk.estimator import TrainedClassifier


def test_a_model_of_images_scores_flat_rows_with_integer_labels() -> None:
    x, y = load_digits(return_X_y=True)
    classifier = sdk.load("gridnet-digits").to_sklearn()
    assert classifier.classes_.tolist() == list(range(10))
    assert classifier.n_features_in_ == 64
    assert classifier.score(x[:200] / 16, y[:200]) > 0.95
    assert classifier.score(x[:200].reshape(-1, 8, 8) / 16, y[:200]) > 0.95
    assert get_scorer("neg_log_loss")(classifier, x[:200] / 16, y[:200]) > -0.5


def test_a_model_of_tables_keeps_its_names_of_classes() -> None:
    x, y = load_iris(return_X_y=True)
    classifier = sdk.load("nca-iris").to_sklearn()
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert classifier.score(x, classifier.classes_[y]) > 0.9


def test_a_model_ends_a_pipeline_and_survives_a_clone() -> None:
    x = load_digits().data
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows / 16), sdk.load("gridnet-digits").to_sklearn())
    assert np.array_equal(pipeline.predict(x[:20]), clone(pipeline)[-1].predict(x[:20] / 16))


def test_fit_is_refused_and_a_frozen_model_is_calibrated() -> None:
    x, y = load_digits(return_X_y=True)
    classifier = sdk.load("gridnet-digits").to_sklearn()
    with pytest.raises(InputError, match="FrozenEstimator"):
        classifier.fit(x, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier)).fit(x[:300] / 16, y[:300])
    assert calibrated.score(x[300:500] / 16, y[300:500]) > 0.95


@pytest.mark.parametrize("wrong", [np.zeros((3, 63)), np.zeros((8, 8))])
def test_inputs_that_are_no_batch_of_images_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError):
        sdk.load("gridnet-digits").to_sklearn().predict(wrong)


class Fashion:
    """A model whose labels are not sorted; it answers with the probabilities that it is given."""

    labels: tuple[str, ...] = ("trouser", "coat", "bag")
    input_spec = sdk.InputSpec("table", (3,), (0.0,) * 3, (1.0,) * 3)

    def predict_proba(self, rows: np.ndarray, batch: bool | None = None) -> np.ndarray:
        return rows


def test_classes_and_probabilities_are_sorted_as_scorers_assume() -> None:
    model = Fashion()
    classifier = TrainedClassifier(model)
    x = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    y = ["trouser", "coat", "bag"]
    assert classifier.classes_.tolist() == ["bag", "coat", "trouser"]
    assert classifier.predict(x).tolist() == y
    assert get_scorer("neg_log_loss")(classifier, x, y) == pytest.approx(np.log([0.8, 0.7, 0.7]).mean())
    model.labels = ("10", "9", "1")
    assert classifier.classes_.tolist() == [1, 9, 10]
    assert classifier.predict(x).tolist() == [10, 9, 1]
