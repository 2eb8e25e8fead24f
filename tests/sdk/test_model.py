from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load, save

import sdk
from sdk import InputError
from tests.support.artifacts import images


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
    assert (model.name, model.backend, model.labels) == ("tiny", "torch", ("zero", "one", "two"))
    assert model.metrics == {"test": {"accuracy": 0.5}}
    assert model.input_spec.shape == (1, 4, 4)
    assert repr(model) == f"<tiny: gridnet, {model.config.parameters} parameters, torch backend>"


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
