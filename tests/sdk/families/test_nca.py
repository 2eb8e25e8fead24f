"""Meta-NCA models: prediction, and ``evolve``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdk
from sdk.errors import InputError, LoadError
from sdk.families.nca import NcaModel
from tests.support.nca import trained_artifacts
from zoo.config.data import IrisConfig
from zoo.data import load_data


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return trained_artifacts(tmp_path_factory.mktemp("nca"))


@pytest.mark.parametrize("name", ["nca-iris", "nca-learner"])
def test_both_backends_predict_the_same(artifacts: dict[str, Path], name: str) -> None:
    flowers = load_data(IrisConfig(name="iris")).test.inputs.numpy()  # type: ignore[attr-defined]
    models = [sdk.load(artifacts[name], backend=backend) for backend in ("onnx", "torch")]
    assert all(isinstance(model, NcaModel) for model in models)
    np.testing.assert_allclose(models[0].logits(flowers), models[1].logits(flowers), atol=1e-4)
    assert set(models[0].predict(flowers)) <= {"setosa", "versicolor", "virginica"}


def test_a_rule_that_learns_grows_a_classifier_from_any_table_and_labels(artifacts: dict[str, Path]) -> None:
    model = sdk.load(artifacts["nca-learner"], backend="torch")
    assert isinstance(model, NcaModel)
    noise = np.random.default_rng(0)
    inputs, labels = noise.normal(size=(30, 6)), np.array(["yes", "no", "maybe"] * 10)
    grown = model.evolve(inputs, labels, layers=2, hidden=4, steps=5, seed=3)
    assert [weight.shape for weight in grown.weights] == [(7, 4), (4, 3)]
    assert len(grown.history) == 6
    assert set(grown.predict(inputs)) <= {"yes", "no", "maybe"}
    np.testing.assert_allclose(grown.predict_proba(inputs).sum(1), 1, atol=1e-5)
    assert 0 <= grown.score(inputs, labels) <= 1
    again = model.evolve(inputs, labels, layers=2, hidden=np.int64(4), steps=5, seed=np.int64(3))  # type: ignore[arg-type]
    assert np.array_equal(again.weights[0], grown.weights[0])
    assert grown.fit(inputs[:, :2], labels).n_features_in_ == 2


def test_a_rule_that_encodes_its_data_needs_only_a_seed(artifacts: dict[str, Path]) -> None:
    model = sdk.load(artifacts["nca-iris"], backend="torch")
    assert isinstance(model, NcaModel)
    flowers = load_data(IrisConfig(name="iris")).test.inputs.numpy()  # type: ignore[attr-defined]
    same = model.evolve(seed=0)
    assert same.predict(flowers).tolist() == model.predict(flowers)
    assert not np.array_equal(model.evolve(seed=1).weights[0], same.weights[0])


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("nca-iris", ([[1, 2, 3, 4]], [0]), {}, "encodes one data set and takes no labels"),
        ("nca-iris", (), {"layers": 2}, "exceeds this rule's position codes"),
        ("nca-iris", (), {"layers": 0}, "layers: found 0, expected a whole number of at least 1"),
        ("nca-iris", (), {"steps": 1.5}, r"steps: found 1\.5, expected a whole number"),
        ("nca-iris", (), {"seed": -1}, "seed: found -1, expected a whole number"),
        ("nca-learner", (), {}, "learns from examples"),
        ("nca-learner", ([[1.0, 2.0]], [0, 1]), {}, r"y: found shape \[2\]"),
        ("nca-learner", ([[1.0], [2.0], [3.0]], [0, 1, np.nan]), {}, "y: found missing labels"),
        ("nca-learner", ([[1.0], [2.0], [3.0]], ["a", "b", None]), {}, "y: found missing labels"),
        ("nca-learner", ([[1.0], [2.0]], np.array(["a", 1], object)), {}, "y: found labels that cannot be sorted"),
        ("nca-learner", ([[1.0], [2.0]], [1, 1]), {}, "found 1 class, expected at least 2"),
        ("nca-learner", ([[1.0], [np.nan]], [0, 1]), {}, "NaN"),
        ("nca-learner", ([1.0, 2.0], [0, 1]), {}, r"found shape \[2\]"),
        ("nca-learner", (["a", "b"], [0, 1]), {}, "expected numbers"),
    ],
)
def test_arguments_that_the_rule_cannot_use_are_refused_in_one_line(
    artifacts: dict[str, Path], name: str, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    model = sdk.load(artifacts[name], backend="torch")
    with pytest.raises(InputError, match=message) as caught:
        model.evolve(*arguments, **options)  # type: ignore[attr-defined]
    assert "\n" not in str(caught.value)


def test_evolving_on_the_onnx_backend_names_the_backend_to_load(artifacts: dict[str, Path]) -> None:
    with pytest.raises(LoadError, match="load nca-iris with backend='torch'"):
        sdk.load(artifacts["nca-iris"], backend="onnx").evolve()  # type: ignore[attr-defined]
