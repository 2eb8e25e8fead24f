"""Families' own predictions take the same inputs and options as those of every model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import sdk
from sdk.families.cellnet import CellnetModel
from sdk.families.nca import NcaModel
from sdk.families.normnet import NormnetModel
from sdk.families.snapshots import SnapshotsModel

IMAGES = (load_digits().images[:6, None] / 16).astype(np.float32)


def load(name: str, backend: str = "torch") -> Any:
    return sdk.load(name, backend=backend)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("cellnet-digits", {"steps": 2}), ("cellnet-digits", {}), ("snapshots-digits", {"mode": "coarse"}),
        ("snapshots-digits", {"mode": "progressive"}), ("snapshots-digits", {}), ("normnet-digits", {}),
    ],
)  # fmt: skip
def test_every_option_of_a_family_goes_with_the_options_of_every_model(name: str, option: dict[str, Any]) -> None:
    model = load(name)
    probabilities, labels = model.predict_proba(IMAGES, **option), model.predict(IMAGES, **option)
    found = model.predict([*IMAGES, "missing.png"], **option, top_k=2, errors="return")
    assert [answer[0][0] for answer in found[:6]] == labels
    np.testing.assert_allclose([answer[0][1] for answer in found[:6]], probabilities.max(1), rtol=1e-4)
    assert isinstance(found[6], sdk.InputError)
    with pytest.warns(sdk.InvertedInputWarning, match="inverted 6 of 6 images"):
        np.testing.assert_array_equal(model.logits(1 - IMAGES, **option), model.logits(IMAGES, **option))
    np.testing.assert_array_equal(model.predict_proba(1 - IMAGES, **option, invert=True), probabilities)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("name", ["cellnet-digits", "gridnet-digits", "normnet-digits", "snapshots-digits"])
def test_a_list_of_bad_items_alone_gives_only_errors(name: str, backend: str) -> None:
    found = load(name, backend).predict(["missing.png", b"", np.zeros(3)], 1, errors="return")
    assert [type(answer) for answer in found] == [sdk.InputError] * 3


def test_a_trace_of_inverted_images_is_that_of_the_images() -> None:
    model = load("cellnet-digits")
    assert isinstance(model, CellnetModel)
    expected = model.trace(IMAGES)
    with pytest.warns(sdk.InvertedInputWarning) as caught:
        np.testing.assert_array_equal(model.trace(1 - IMAGES).logits, expected.logits)
    assert caught[0].filename == __file__
    assert not np.array_equal(model.trace(1 - IMAGES, invert=False).logits, expected.logits)
    assert repr(expected) == "<CellnetTrace: {} steps, 6 inputs, {} cells of up to {} values>".format(
        expected.cores.shape[0], *expected.cores.shape[2:]
    )
    assert ", one input, " in repr(model.trace(IMAGES[0]))


def test_the_cascade_recognises_inverted_images() -> None:
    model = load("snapshots-digits", "onnx")
    assert isinstance(model, SnapshotsModel)
    expected = model.progressive(IMAGES)
    with pytest.warns(sdk.InvertedInputWarning, match="inverted 6 of 6 images"):
        np.testing.assert_array_equal(model.progressive(1 - IMAGES, 4).probabilities, expected.probabilities)
    assert repr(expected).startswith("<Progressive: 6 samples, 10 classes, last snapshots ")
    assert repr(model.progressive([])) == "<Progressive: no samples, 10 classes>"


def test_an_online_learner_sees_what_predictions_see() -> None:
    model = load("normnet-digits")
    assert isinstance(model, NormnetModel)
    expected = model.logits(IMAGES)
    with pytest.warns(sdk.InvertedInputWarning):
        update = model.online().update(1 - IMAGES, lambda logits: logits)
    np.testing.assert_allclose(update.output.numpy(), expected, atol=1e-5)


def test_a_learned_online_model_is_not_copied_without_what_it_learned() -> None:
    model = load("normnet-digits")
    model.online().update(IMAGES, lambda logits: torch.zeros_like(logits))
    with pytest.raises(sdk.LoadError, match="the weights of normnet-digits were changed"):
        copy.deepcopy(model)


def test_a_grown_classifier_says_what_it_is_and_can_be_copied(tmp_path: Path) -> None:
    model = load("nca-iris")
    assert isinstance(model, NcaModel)
    grown = model.evolve(seed=1)
    other = copy.deepcopy(grown)
    rows = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(other.decision_function(rows), grown.decision_function(rows))
    assert repr(other) == "<EvolvedClassifier: 4 -> 3 units, 3 classes, grown by nca-iris>"
