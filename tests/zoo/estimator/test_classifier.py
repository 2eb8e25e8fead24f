from __future__ import annotations

import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sdk
from sdk.errors import InputError
from tests.support.paths import DOCS
from zoo.estimator import NcaClassifier, ZooClassifier
from zoo.estimator.rows import check_resolution
from zoo.utils.errors import ExportError, RecipeError, TrainingError

QUICK: dict[str, Any] = {"model__hidden": [16], "train__epochs": 12}


def failed_checks(estimator: Any) -> list[str]:
    results = check_estimator(estimator, on_fail=None)
    assert len(results) > 40
    return [f"{result['check_name']}: {result['exception']}" for result in results if result["status"] == "failed"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_all_checks_of_scikit_learn_pass(tmp_path: Path) -> None:
    recipe = tmp_path / "quick.yaml"
    recipe.write_text(
        "model: {family: normnet, hidden: [16], hidden_scale: 5}\n"
        "data: {name: digits}\n"
        "train: {epochs: 8, batch_size: 64, optimizer: {name: adam, lr: 3e-2}}\n"
    )
    assert failed_checks(ZooClassifier(str(recipe))) == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_learner_without_gradients_passes_all_checks_of_scikit_learn() -> None:
    assert failed_checks(NcaClassifier()) == []


def test_wine_is_learned_in_a_pipeline_and_scored_by_cross_validation() -> None:
    pipeline = make_pipeline(StandardScaler(), ZooClassifier(random_state=0, train__epochs=30))
    scores = cross_val_score(pipeline, *load_wine(return_X_y=True), cv=3)
    assert scores.mean() > 0.9


def test_a_search_varies_keys_of_the_recipe() -> None:
    x, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), ZooClassifier("normnet-digits", train__epochs=2))
    grid = {"zooclassifier__train__epochs": [2, 12], "zooclassifier__model__hidden": [[8], [16]]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(x, y)
    assert search.best_params_["zooclassifier__train__epochs"] == 12
    assert len(search.best_estimator_[-1].history_) == 12


def test_parameters_include_the_overrides_and_survive_a_clone() -> None:
    classifier = ZooClassifier("normnet-digits", random_state=3, **QUICK)
    copy = clone(classifier.set_params(train__optimizer__lr=0.02))
    expected = {"recipe": "normnet-digits", "random_state": 3, "train__optimizer__lr": 0.02, **QUICK}
    assert expected.items() <= copy.get_params().items()
    assert "train__epochs=12" in repr(copy)


@pytest.mark.parametrize("value", [np.int64(3), np.array([3])[0], 3])
def test_overrides_may_be_numpy_scalars_as_searches_draw_them(value: Any) -> None:
    x, y = load_wine(return_X_y=True)
    assert len(ZooClassifier(train__epochs=value, model__hidden=np.array([8])).fit(x, y).history_) == 3


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"epochs": 3}, InputError, "unknown parameter 'epochs'"),
        ({"train__epocs": 3}, RecipeError, "train.epocs"),
        ({"train__epochs": "many"}, RecipeError, "train.epochs"),
        ({"train__epochs": object()}, InputError, "train__epochs: found"),
        ({"recipe": "normnet-digit"}, RecipeError, "unknown recipe 'normnet-digit'"),
        ({"recipe": "gridnet-digits"}, TrainingError, "does not fit"),
        ({"validation_fraction": 1.5}, InputError, "validation_fraction: found 1.5"),
        ({"validation_fraction": None}, InputError, "validation_fraction: found None"),
        ({"input_shape": (13,)}, InputError, r"input_shape: found \(13,\), expected"),
        ({"input_shape": 13}, InputError, "input_shape: found 13, expected"),
        ({"input_shape": (1, 4, 4)}, InputError, r"X: found shape \[178, 13\], expected \[N, 16\]"),
    ],
)
def test_wrong_parameters_are_named_by_fit(parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ZooClassifier(**parameters).fit(*load_wine(return_X_y=True))


def test_images_are_learned_from_flat_rows_as_from_stacks() -> None:
    x, y = load_digits(return_X_y=True)
    train, test, train_y, test_y = train_test_split(x.reshape(-1, 8, 8), y, random_state=0, stratify=y)
    quick: dict[str, Any] = {"model__hidden": [64], "train__epochs": 15, "random_state": 0}
    flat = ZooClassifier(input_shape=(1, 8, 8), **quick).fit(train.reshape(-1, 64), train_y)
    stacked = ZooClassifier(**quick).fit(train, train_y)
    assert flat.score(test.reshape(-1, 64), test_y) == stacked.score(test, test_y) > 0.75
    assert stacked.input_spec_.shape == (1, 8, 8)


def test_a_grid_is_trained_on_images() -> None:
    x, y = load_digits(return_X_y=True)
    classifier = ZooClassifier("gridnet-digits", input_shape=(1, 8, 8), train__epochs=1).fit(x[:200], y[:200])
    assert classifier.predict(x[200:203]).shape == (3,)


def test_labels_of_any_type_come_back() -> None:
    x, y = load_wine(return_X_y=True)
    names = np.array(["red", "white", "rose"])[y]
    classifier = ZooClassifier(random_state=0, **QUICK).fit(x, names)
    assert classifier.classes_.tolist() == ["red", "rose", "white"]
    assert classifier.score(x, names) > 0.9
    assert np.allclose(classifier.predict_proba(x).sum(1), 1)


def test_fit_repeats_itself_and_leaves_the_global_random_states_alone() -> None:
    x, y = load_wine(return_X_y=True)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    before = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first, second = (ZooClassifier(random_state=5, **QUICK).fit(x, y).predict_proba(x) for _ in range(2))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == before
    assert np.array_equal(first, second)
    assert np.array_equal(first, ZooClassifier(random_state=np.int64(5), **QUICK).fit(x, y).predict_proba(x))
    assert not np.array_equal(first, ZooClassifier(random_state=6, **QUICK).fit(x, y).predict_proba(x))


def test_classes_too_small_to_be_split_serve_for_training_and_validation() -> None:
    x = np.array([[0.0], [1.0], [2.0]])
    classifier = ZooClassifier(**QUICK).fit(x, ["a", "b", "c"])
    assert classifier.predict(x).shape == (3,)


def test_a_fitted_classifier_is_pickled(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    classifier = ZooClassifier(**QUICK).fit(x, y)
    copy = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(copy.predict_proba(x), classifier.predict_proba(x))


def test_a_fitted_classifier_is_saved_as_a_model_of_the_sdk(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    classifier = ZooClassifier(random_state=0, **QUICK).fit(x, y)
    model = sdk.load(classifier.save(tmp_path / "wine"))
    assert [int(label) for label in model.predict(x)] == classifier.predict(x).tolist()
    with pytest.raises(ExportError, match="exists"):
        classifier.save(tmp_path / "wine")


def test_a_classifier_of_a_frame_is_saved_with_its_columns(tmp_path: Path) -> None:
    frame = load_wine(as_frame=True)
    classifier = ZooClassifier(random_state=0, **QUICK).fit(frame.data, frame.target)
    model = sdk.load(classifier.save(tmp_path / "wine"))
    shuffled = frame.data[frame.data.columns[::-1]]
    assert [int(label) for label in model.predict(shuffled)] == classifier.predict(frame.data).tolist()


@pytest.mark.parametrize("classifier", [ZooClassifier(**QUICK), NcaClassifier()])
def test_numbers_that_float32_cannot_tell_apart_are_refused(classifier: Any) -> None:
    x, y = load_wine(return_X_y=True)
    x[:, 2] += 1.7e9
    with pytest.raises(InputError, match=r"X: feature 2: found numbers up to 1.7e\+09 that differ by 0.27"):
        classifier.fit(x, y)
    x[:, 2] = 1e300 * x[:, 1]
    with pytest.raises(InputError, match="too large for float32"):
        classifier.fit(x, y)


def test_a_constant_of_float64_is_no_numbers_that_differ() -> None:
    check_resolution(np.array([[0.3, 1e9], [0.1 + 0.2, 1e9], [0.3, 1e9]]))


def test_images_outside_the_sdks_range_are_not_saved(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    classifier = ZooClassifier(input_shape=(1, 8, 8), **QUICK).fit(x[:200], y[:200])
    with pytest.raises(InputError, match="outside"):
        classifier.save(tmp_path / "digits")


def test_inputs_of_another_shape_than_in_fit_are_refused() -> None:
    x, y = load_digits(return_X_y=True)
    classifier = ZooClassifier(**QUICK).fit(x.reshape(-1, 8, 8)[:200] / 16, y[:200])
    with pytest.raises(InputError, match=r"expected \[1, 8, 8\]"):
        classifier.predict(np.zeros((2, 8, 9)))


@pytest.mark.parametrize(("fitted", "given"), [(np.uint8, np.int64), (np.int64, np.uint8), (np.uint8, np.float32)])
def test_images_of_another_type_than_in_fit_are_refused(fitted: Any, given: Any) -> None:
    """uint8 is divided by 255 and other types are not, so that the same numbers would be other images."""
    x, y = load_digits(return_X_y=True)
    images = (x[:200] * 15).astype(np.uint8).reshape(-1, 8, 8)
    classifier = ZooClassifier(**{**QUICK, "train__epochs": 1}).fit(images.astype(fitted), y[:200])
    with pytest.raises(InputError, match=r"X: found images of .*uint8, expected .*, as in fit"):
        classifier.predict(images.astype(given))


@pytest.mark.parametrize(("model", "message"), [("gridnet-digits", "expected nca"), ("nca-iris", "takes no labels")])
def test_models_that_do_not_learn_from_labels_are_refused(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        NcaClassifier(model).fit(*load_wine(return_X_y=True))


def test_the_guides_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "guides" / "scikit-learn.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(block, {})
    scores = [float(line) for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert len(scores) == 3
    assert min(scores) > 0.9
