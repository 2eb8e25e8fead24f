from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save

import sdk
from sdk import InputError
from sdk.artifact import read_artifact
from sdk.catalog import bundled_models
from sdk.model import softmax
from tests.support.artifacts import images, write_tiny
from zoo.utils.provenance import gather_provenance


@pytest.fixture
def inked(tmp_path: Path) -> Path:
    """The folder of a small model that was trained on light strokes, as its provenance says."""
    data = {"name": "none", "appearance": {"polarity": "light on dark"}}
    provenance = gather_provenance("seed: 0\n", seed=0, steps=0, wall_seconds=0.0, data=data)
    return write_tiny(tmp_path / "inked", provenance=provenance)


def test_one_input_gives_one_answer_and_a_batch_gives_a_list(artifact: Path) -> None:
    model = sdk.load(artifact)
    one, batch = images(1)[0], images(5)
    assert model.predict(one) in model.labels
    assert model.predict([one]) == [model.predict(one)]
    assert len(model.predict(batch)) == 5
    assert model.logits(one).shape == model.predict_proba(one).shape == (3,)
    assert model.logits(batch).shape == model.predict_proba(batch).shape == (5, 3)
    assert model.logits(batch).dtype == model.predict_proba(batch).dtype == np.float32


def test_probabilities_are_the_softmax_of_the_logits_and_the_label_is_the_largest(artifact: Path) -> None:
    model = sdk.load(artifact)
    logits, probabilities = model.logits(images(9)), model.predict_proba(images(9))
    np.testing.assert_allclose(probabilities, torch.softmax(torch.from_numpy(logits), -1), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert model.predict(images(9)) == [model.labels[i] for i in logits.argmax(-1)]


def test_probabilities_of_huge_logits_do_not_overflow(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sdk.load(artifact)
    monkeypatch.setattr(model, "logits", lambda *_, **__: np.array([1e30, 0, -1e30], np.float32))
    np.testing.assert_array_equal(model.predict_proba(images(1)), [1, 0, 0])


def test_the_batch_size_does_not_change_the_answers(artifact: Path) -> None:
    model = sdk.load(artifact)
    expected = model.logits(images(7))
    for size in (1, 3, 100):
        np.testing.assert_allclose(model.logits(images(7), batch_size=size), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.logits(list(images(7)), size), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_batch_size_that_is_not_a_positive_integer_is_refused(artifact: Path, size: int) -> None:
    with pytest.raises(InputError, match=f"batch_size must be a positive integer, found {size}"):
        sdk.load(artifact).predict(images(1), batch_size=size)


def test_an_empty_batch_gives_empty_answers(artifact: Path) -> None:
    model = sdk.load(artifact)
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == model.logits(images(0)).shape == (0, 3)


def test_files_pictures_and_tensors_are_predicted_like_arrays(artifact: Path, tmp_path: Path) -> None:
    model = sdk.load(artifact)
    pixels = images(1)[0]
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    for form in (tmp_path / "digit.png", Image.fromarray(pixels), torch.from_numpy(pixels)):
        np.testing.assert_array_equal(model.logits(form), model.logits(pixels))


def test_inputs_of_the_wrong_shape_are_refused(artifact: Path) -> None:
    with pytest.raises(InputError, match=r"wrong shape \[5, 4\]"):
        sdk.load(artifact).predict(np.zeros((5, 4), np.uint8))


def test_many_threads_get_the_same_answers_as_one(artifact: Path) -> None:
    model = sdk.load(artifact)
    expected = [model.logits(image) for image in images(16)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(model.logits, images(16)))
    np.testing.assert_array_equal(found, expected)


def test_a_model_describes_itself(artifact: Path) -> None:
    model = sdk.load(artifact)
    assert (model.name, model.backend, model.labels) == ("tiny", "native", ("zero", "one", "two"))
    assert model.metrics == {"test": {"accuracy": 0.5}}
    assert model.input_spec.shape == (1, 4, 4)
    assert repr(model) == f"<tiny: gridnet, {model.config.parameters} parameters, native backend>"


def test_the_module_is_the_torch_module_in_eval_mode(artifact: Path) -> None:
    model = sdk.load(artifact, backend="torch")
    assert isinstance(model.module, torch.nn.Module)
    assert not model.module.training
    assert sum(p.numel() for p in model.module.parameters()) == model.config.parameters


def test_weights_that_overflow_raise_an_error_instead_of_giving_a_label(
    artifact: Path, reseal: Callable[[Path, str, bytes], None]
) -> None:
    tensors = load((artifact / "model.safetensors").read_bytes())
    tensors["readout.weight"][:] = 3e38
    reseal(artifact, "model.safetensors", save(tensors))
    with pytest.raises(sdk.CellzooError, match="tiny gives NaN or infinite logits"):
        sdk.load(artifact).predict(images(2))


def test_top_k_gives_the_most_likely_labels_with_their_probabilities(artifact: Path) -> None:
    model = sdk.load(artifact)
    probabilities = model.predict_proba(images(5))
    for answer, row, label in zip(
        model.predict(images(5), top_k=2), probabilities, model.predict(images(5)), strict=True
    ):
        order = np.argsort(-row)[:2]
        assert answer == [(model.labels[i], float(row[i])) for i in order]
        assert answer[0][0] == label
    assert model.predict(images(1)[0], top_k=2) == model.predict([images(1)[0]], top_k=2)[0]
    assert len(model.predict(images(1)[0], top_k=99)) == 3
    assert model.predict([], top_k=2) == []


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_a_top_k_that_is_not_a_positive_integer_is_refused(artifact: Path, k: int) -> None:
    with pytest.raises(InputError, match=f"top_k must be a positive integer, found {k}"):
        sdk.load(artifact).predict(images(1), top_k=k)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_bad_input_of_many_can_be_returned_instead_of_raised(artifact: Path, tmp_path: Path, size: int) -> None:
    model, (first, second) = sdk.load(artifact), images(2)
    (tmp_path / "words.png").write_text("not an image")
    inputs = [tmp_path / "words.png", first, np.zeros((5, 5), np.uint8), second, "missing.png", images(3)]
    found = model.predict(inputs, size, errors="return")
    assert found[1::2][:2] == model.predict([first, second])
    bad = [found[0], found[2], found[4], found[5]]
    assert all(isinstance(error, InputError) for error in bad)
    messages = ["not a readable image", "wrong shape", "no such file: 'missing.png'", "found a batch of 3 inputs"]
    assert all(message in str(error) for error, message in zip(bad, messages, strict=True))
    pairs = model.predict(inputs, size, errors="return", top_k=1)
    assert [pair[0][0] for pair in pairs[1::2][:2]] == found[1::2][:2]
    assert [str(error) for error in model.predict(["missing.png"], errors="return")] == ["no such file: 'missing.png'"]


def test_errors_other_than_those_of_list_items_are_raised(artifact: Path) -> None:
    model = sdk.load(artifact)
    with pytest.raises(InputError, match="no such file"):
        model.predict("missing.png", errors="return")
    with pytest.raises(InputError, match="input 0: no such file"):
        model.predict(["missing.png"])
    with pytest.raises(InputError, match="errors: found 'skip', allowed 'raise' or 'return'"):
        model.predict(images(1), errors="skip")  # type: ignore[call-overload]


def test_a_warning_names_the_inverted_images_and_the_line_of_the_caller(inked: Path) -> None:
    model = sdk.load(inked)
    assert model.polarity == "light on dark"
    white, black = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    white[1:3, 1:3], black[1:3, 1:3] = 255, 0
    with pytest.warns(sdk.InvertedInputWarning, match="inverted 2 of 3 images") as caught:
        found = model.logits([black, white, black], batch_size=1)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(found, np.repeat(model.logits([white]), 3, axis=0))
    with pytest.warns(sdk.InvertedInputWarning, match="inverted 1 of 1 images") as caught:
        model.predict(black)
    assert [warning.filename for warning in caught] == [__file__]
    assert issubclass(sdk.InvertedInputWarning, sdk.CellzooWarning)


def test_invert_is_given_to_every_prediction(inked: Path) -> None:
    model = sdk.load(inked)
    black = np.full((4, 4), 255, np.uint8)
    black[1:3, 1:3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain, negative = model.logits(black, invert=False), model.logits(black, invert=True)
        np.testing.assert_array_equal(plain, model.logits(255 - black, invert=True))
        np.testing.assert_array_equal(negative, model.logits(255 - black))
        np.testing.assert_array_equal(model.predict_proba(black, invert=True), softmax(negative))
        assert model.predict(black, invert=True) == model.labels[int(negative.argmax())]
    with pytest.raises(InputError, match="invert: found 1, allowed"):
        model.predict(black, invert=1)  # type: ignore[call-overload]


def test_a_model_without_polarity_inverts_nothing_by_itself(artifact: Path) -> None:
    model = sdk.load(artifact)
    black = np.full((4, 4), 255, np.uint8)
    black[1:3, 1:3] = 0
    assert model.polarity is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(model.logits(black), model.logits(black, invert=False))


def test_metrics_print_their_numbers_and_stay_a_dict() -> None:
    metrics = sdk.load("gridnet-digits").metrics
    assert isinstance(metrics, dict)
    assert json.loads(json.dumps(metrics)) == metrics
    assert repr(metrics).startswith("<Metrics: test_accuracy=0.9")
    assert "and test_interval_95, probe>" in repr(metrics)
    assert len(repr(metrics)) < 400


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_nothing_about_a_model_prints_more_than_a_few_lines(name: str) -> None:
    model = sdk.load(name)
    config = model.config
    for thing in (model, config, model.metrics, model.input_spec, read_artifact(bundled_models()[name])):
        assert name in repr(thing) or thing in (model.metrics, model.input_spec)
        assert 20 < len(repr(thing)) < 500
        assert "\n" not in repr(thing)


def test_an_input_spec_of_many_features_shows_the_first() -> None:
    spec = sdk.InputSpec("table", (100,), (0.5,) * 100, (1.0,) * 100)
    assert repr(spec) == (
        "InputSpec('table', (100,), mean=(0.5, 0.5, 0.5, 0.5, ... 100 values), std=(1, 1, 1, 1, ... 100 values))"
    )


def test_of_labels_that_tie_the_first_comes_first(artifact: Path) -> None:
    labels = tuple(f"label {number}" for number in range(200))
    config = replace(sdk.load(artifact).config, labels=labels)
    equal = SimpleNamespace(logits=lambda x: np.tile(np.float32([0, 1]), (len(x), 100)))
    model = sdk.Model(config, "onnx", cast(Any, equal))
    assert model.predict(images(1)[0]) == "label 1"
    assert [label for label, _ in model.predict(images(1)[0], top_k=100)] == list(labels[1::2])
