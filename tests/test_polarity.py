"""The rule of polarity on the test splits of the shipped models; docs/guides/artifacts.md quotes these numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import sdk
from sdk.appearance import LIGHT_ON_DARK, image_polarities, inverted
from zoo.data import load_data
from zoo.data.location import data_folder
from zoo.data.sampling import Batch
from zoo.data.split import Split
from zoo.recipe import load_recipe

IMAGE_MODELS = [info.name for info in sdk.list_models() if sdk.load(info.name).input_spec.kind == "image"]
# A model for each way to decide: the rule sees the images, how they are prepared, and the recorded polarity alone.
DECIDING = list({
    (load_recipe(name).data.name, model.input_spec, model.polarity): name
    for name in IMAGE_MODELS
    for model in [sdk.load(name)]
}.values())  # fmt: skip
# Negatives of test images that are recognised, by the name of the data; photographs have no polarity.
NEGATIVES = {"mnist": 10_000, "digits": 360, "fashion_mnist": 9996, "dataset": 0}
# Correct answers of 10,000 for inverted test images that are used as they are, and for those that are recognised.
INVERTED = {"gridnet-mnist": (855, 9898), "cellnet-mnist": (2800, 9942), "normnet-mnist-conv": (4958, 9884)}


def data_of(name: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw images ``[N, C, H, W]`` and the labels of a model's data."""
    recipe = load_recipe(name)
    folder = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "dataset": "cifar10"}.get(recipe.data.name, "")
    if not (data_folder() / folder).is_dir():
        pytest.skip(f"{folder} is not here: set ZOO_DATA to a folder that has it")
    split: Split = getattr(load_data(recipe.data), part)
    images, labels = split[Batch(torch.arange(len(split)))]
    return images.numpy(), labels.numpy()


def correct(model: sdk.Model, images: np.ndarray, labels: np.ndarray, invert: str | bool) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sdk.InvertedInputWarning)
        return int((model.logits(images, 250, invert=invert).argmax(1) == labels).sum())


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_every_shipped_model_was_trained_on_light_strokes_or_on_photographs(name: str) -> None:
    photographs = load_recipe(name).data.name == "dataset"
    assert sdk.load(name).polarity == (None if photographs else LIGHT_ON_DARK)


@pytest.mark.parametrize("name", ["gridnet-mnist", "gridnet-digits"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_rule_decides_every_image_and_every_negative_rightly(name: str, part: str) -> None:
    images, _ = data_of(name, part)
    assert (image_polarities(images) == 1).all()
    assert (image_polarities(inverted(images)) == -1).all()


@pytest.mark.parametrize("name", DECIDING)
def test_test_images_are_never_inverted_and_their_negatives_where_strokes_are_recognised(name: str) -> None:
    model, (images, _) = sdk.load(name), data_of(name, "test")
    prepared = model.input_spec.prepare(images)[0]
    expected = NEGATIVES[load_recipe(name).data.name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(model._prepare_all(images, "auto")[0], prepared)
        assert not caught
        found = model._prepare_all(inverted(images), "auto")[0]
    text = "".join(str(warning.message) for warning in caught)
    assert text.startswith(f"inverted {expected} of {len(images)} images") or (not expected and not text)
    same = sum(np.array_equal(one, other) for one, other in zip(found, prepared, strict=True))
    assert same >= 0.99 * expected  # a border that is not quite black is stretched
    assert same == expected or expected < len(images)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(INVERTED))
@pytest.mark.parametrize("paper", [0.95, 0.8, 0.6])
def test_ink_on_grey_paper_is_recognised_and_read(name: str, paper: float) -> None:
    model, (images, labels) = sdk.load(name, backend="torch"), data_of(name, "test")
    ink, noise = images[:1000] / np.float32(255), np.random.default_rng(0).normal(0, 0.02, (1000, 1, 28, 28))
    photos = (paper - (paper - 0.1) * ink + noise).clip(0, 1).astype(np.float32)
    assert (image_polarities(photos) == -1).all()
    assert correct(model, photos, labels[:1000], False) < 500
    assert correct(model, photos, labels[:1000], "auto") >= correct(model, images[:1000], labels[:1000], False) - 5


@pytest.mark.slow
@pytest.mark.parametrize("name", list(INVERTED))
def test_accuracy_on_inverted_images(name: str) -> None:
    model, (images, labels) = sdk.load(name, backend="torch"), data_of(name, "test")
    negatives = inverted(images)
    found = (correct(model, negatives, labels, False), correct(model, negatives, labels, "auto"))
    assert found == INVERTED[name]
    assert found[1] == model.metrics["test_correct"]
