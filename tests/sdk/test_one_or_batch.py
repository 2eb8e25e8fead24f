"""The form of the inputs, never their number, decides between one result and a batch of results."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sdk
from sdk import AmbiguousInputWarning, InputError, InputSpec
from tests.support.artifacts import write_tiny

SHAPES = [(1, 4, 6), (1, 4, 4), (1, 1, 6), (1, 6, 1), (1, 1, 1), (3, 4, 6), (3, 3, 3), (2, 2, 2)]
LAYOUTS = ("BCHW", "BHWC", "BHW", "list", "list of CHW", "nested list")


def spec_of(shape: tuple[int, ...]) -> InputSpec:
    return InputSpec("image", shape, (0.5,) * shape[0], (0.25,) * shape[0])


def batch_in(layout: str, images: np.ndarray) -> Any:
    """Return images ``[B, C, H, W]`` in a layout; BHW is for grey ones."""
    forms = {
        "BCHW": lambda: images,
        "BHWC": lambda: np.moveaxis(images, 1, -1),
        "BHW": lambda: images[:, 0],
        "list": lambda: [np.moveaxis(image, 0, -1) for image in images],
        "list of CHW": lambda: list(images),
        "nested list": lambda: images.tolist(),
    }
    return forms[layout]()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SHAPES), st.sampled_from(LAYOUTS), st.integers(0, 3), st.sampled_from([np.array, torch.tensor]),
)  # fmt: skip
def test_a_batch_of_any_size_is_a_batch(shape: tuple[int, ...], layout: str, count: int, kind: Any) -> None:
    if layout == "BHW" and shape[0] != 1:
        layout = "BCHW"
    images = np.random.default_rng(count).random((count, *shape)).astype(np.float32)
    inputs = batch_in(layout, images)
    inputs = kind(inputs) if isinstance(inputs, np.ndarray) else inputs
    found, single = spec_of(shape).prepare(inputs, batch=True)
    assert not single
    assert found.shape == (count, *shape)
    if layout != "BHW":  # the form alone says it
        with warnings.catch_warnings():
            warnings.simplefilter("error", AmbiguousInputWarning)
            alone, single = spec_of(shape).prepare(inputs)
        assert not single
        np.testing.assert_array_equal(alone, found)
        with pytest.raises(InputError, match="batch=False: found a batch; pass one input"):
            spec_of(shape).prepare(inputs, batch=False)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHAPES), st.sampled_from(["CHW", "HWC", "HW", "nested list"]))
def test_one_image_is_one_image(shape: tuple[int, ...], layout: str) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    forms = {"CHW": image, "HWC": np.moveaxis(image, 0, -1), "HW": image[0], "nested list": image.tolist()}
    if layout == "HW" and shape[0] != 1:
        layout = "HWC"
    found, single = spec_of(shape).prepare(forms[layout], batch=False)
    assert single
    assert found.shape == (1, *shape)
    if np.shape(forms[layout]) != shape or shape[0] != 1:
        with pytest.raises(InputError, match="batch=True: found one input; pass a list"):
            spec_of(shape).prepare(forms[layout], batch=True)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy, np.ndarray.tolist])
def test_only_a_leading_axis_of_one_of_a_grey_model_has_two_readings(form: Any) -> None:
    image = form(np.full((1, 4, 6), 0.25, np.float32))
    spec = spec_of((1, 4, 6))
    assert spec.fits_one_and_batch(image)
    message = r"found an array \[1, 4, 6\], read as one image .*; batch=True makes it a batch of one"
    with pytest.warns(AmbiguousInputWarning, match=message) as caught:
        found, single = spec.prepare(image)
    assert single
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, batch = spec.prepare(image, batch=False), spec.prepare(image, batch=True)
        inside = spec.prepare([image])
    assert (one[1], batch[1], inside[1]) == (True, False, False)
    for other in (one, batch, inside):
        np.testing.assert_array_equal(other[0], found)


@pytest.mark.parametrize("batch", [1, 64, "yes", 0.0])
def test_batch_is_no_number(batch: Any) -> None:
    with pytest.raises(InputError, match=r"batch: found .*, allowed True, False or None; batch_size is how many"):
        spec_of((1, 4, 6)).prepare(np.zeros((2, 4, 6)), batch=batch)


def results(model: Any, inputs: Any, **options: Any) -> list[Any]:
    return [
        model.predict(inputs, **options),
        model.predict(inputs, top_k=2, **options),
        model.predict(inputs, errors="return", **options),
        model.predict_proba(inputs, **options),
        model.logits(inputs, **options),
    ]


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("name", ["gridnet-digits", "cellnet-digits", "normnet-digits", "snapshots-digits"])
def test_every_prediction_of_every_family_follows_the_rule(name: str, backend: str) -> None:
    model = sdk.load(name, backend=backend)
    digits = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    whole = results(model, digits)
    for count in (0, 1, 2, 3):
        for result, every in zip(results(model, digits[:count], batch=True), whole, strict=True):
            assert type(result) is type(every)
            assert len(result) == count
            assert np.ndim(result) == np.ndim(every) or count == 0
    for result, every in zip(results(model, digits[:1], batch=False), whole, strict=True):
        assert np.shape(result) == np.shape(every[0])
    with pytest.warns(AmbiguousInputWarning):
        assert model.predict(digits[:1]) == whole[0][0]  # as before there was a batch argument
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results(model, digits)
        results(model, digits[0])
        results(model, digits[:1, None])


def test_the_families_own_calls_follow_it_too() -> None:
    digits = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    cellnet, normnet, snapshots = (
        sdk.load(f"{n}-digits", backend="torch") for n in ("cellnet", "normnet", "snapshots")
    )
    assert cellnet.trace(digits, batch=True).logits.shape[1:] == (1, 10)  # type: ignore[attr-defined]
    assert cellnet.trace(digits, batch=False).logits.shape[1:] == (10,)  # type: ignore[attr-defined]
    assert normnet.online(batch=True).predict(digits).shape == (1, 10)  # type: ignore[attr-defined]
    assert normnet.online(batch=False).predict(digits).shape == (10,)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert snapshots.progressive(digits).probabilities.shape == (1, 10)  # type: ignore[attr-defined]
        assert snapshots.to_sklearn().predict(digits).shape == (1,)


def test_rows_of_tables_follow_it_by_their_form(tmp_path: Path) -> None:
    model = sdk.load("nca-iris")
    rows = pd.DataFrame(np.full((3, 4), 2.0), columns=list(model.input_spec.columns.names))  # type: ignore[union-attr]
    (tmp_path / "one.csv").write_text(rows[:1].to_csv(index=False))
    batches = [rows[:1], rows[:1].to_numpy(), rows[:1].to_numpy().tolist(), rows[:1].to_dict("records"),
               rows[:1].to_dict("list"), tmp_path / "one.csv"]  # fmt: skip
    for form in batches:
        for result in results(model, form) + results(model, form, batch=True):
            assert len(result) == 1
            assert not isinstance(result, str)
        with pytest.raises(InputError, match="batch=False: found a batch"):
            model.predict(form, batch=False)
    for one in (rows.iloc[0], rows.to_numpy()[0], rows.to_numpy()[0].tolist(), dict(rows.iloc[0])):
        assert isinstance(model.predict(one), str)
        assert isinstance(model.predict(one, batch=False), str)
        with pytest.raises(InputError, match="batch=True: found one input"):
            model.predict(one, batch=True)


def test_a_picture_is_no_batch(tmp_path: Path) -> None:
    from PIL import Image

    model = sdk.load(write_tiny(tmp_path / "tiny"))
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="batch=True: found one input"):
        model.predict(tmp_path / "a.png", batch=True)
    assert model.predict([tmp_path / "a.png"], batch=True) == [model.predict(tmp_path / "a.png", batch=False)]
