from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from sdk import InputError, InputSpec

GREY = InputSpec("image", (1, 4, 6), (0.5,), (0.25,))
COLOUR = InputSpec("image", (3, 4, 6), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TABLE = InputSpec("table", (4,), (5.8, 3.0, 3.7, 1.2), (0.8, 0.4, 1.7, 0.7))
PLAIN = InputSpec("image", (1, 4, 6), (0.0,), (1.0,))


def colour_bytes(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, 3, 4, 6), dtype=np.uint8)


def prepared(spec: InputSpec, inputs: object) -> np.ndarray:
    return spec.prepare(inputs)[0]


@given(hnp.arrays(np.uint8, (2, 3, 4, 6)))
def test_bytes_are_normalised_bit_for_bit_as_in_torch(raw: np.ndarray) -> None:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (COLOUR.mean, COLOUR.std))
    expected = torch.from_numpy(raw).float().div(255).sub(mean).div(std)
    np.testing.assert_array_equal(prepared(COLOUR, raw), expected.numpy())


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)))
def test_table_rows_are_normalised_bit_for_bit_as_in_torch(rows: np.ndarray) -> None:
    expected = torch.from_numpy(rows).float().sub(torch.tensor(TABLE.mean)).div(torch.tensor(TABLE.std))
    np.testing.assert_array_equal(prepared(TABLE, rows), expected.numpy())


@given(hnp.arrays(np.uint8, (4, 6, 3)))
def test_every_form_of_one_colour_image_gives_the_same_tensor(pixels: np.ndarray) -> None:
    first = np.moveaxis(pixels, -1, 0)
    expected = prepared(COLOUR, first)
    one = [pixels, first, torch.from_numpy(first.copy()), Image.fromarray(pixels)]
    for form in one:
        found, single = COLOUR.prepare(form)
        assert single
        np.testing.assert_array_equal(found, expected)
    for batch in ([pixels], first[None], pixels[None], tuple(one[:1])):
        found, single = COLOUR.prepare(batch)
        assert not single
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(prepared(COLOUR, one), np.repeat(expected, len(one), axis=0))


@given(hnp.arrays(np.uint8, (4, 6)))
def test_every_form_of_one_grey_image_gives_the_same_tensor(pixels: np.ndarray) -> None:
    expected = prepared(GREY, pixels)
    for form in (pixels[None], pixels[..., None], Image.fromarray(pixels), pixels.astype(np.float32) / 255):
        found, single = GREY.prepare(form)
        assert single
        np.testing.assert_array_equal(found, expected)
    for batch in (np.stack([pixels] * 2), np.stack([pixels] * 2)[:, None], np.stack([pixels] * 2)[..., None]):
        found, single = GREY.prepare(batch)
        assert not single
        np.testing.assert_array_equal(found, np.repeat(expected, 2, axis=0))


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(0, 7))
def test_batches_are_consecutive_parts_of_the_prepared_inputs(size: int, count: int) -> None:
    raw = colour_bytes(count)
    for inputs in (raw, list(raw)):
        pieces, single = COLOUR.batches(inputs, size)
        parts = list(pieces)
        assert not single
        assert all(len(part) <= size for part in parts)
        assert sum(map(len, parts)) == count
        if parts:
            np.testing.assert_array_equal(np.concatenate(parts), prepared(COLOUR, raw))


def test_a_cube_is_read_channels_first() -> None:
    spec = InputSpec("image", (3, 3, 3), (0.0,) * 3, (1.0,) * 3)
    cube = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(prepared(spec, cube)[0], cube / np.float32(255))


def test_a_leading_axis_of_one_is_the_channel_and_a_list_is_a_batch() -> None:
    image = np.zeros((1, 4, 6), np.uint8)
    assert PLAIN.prepare(image)[1]
    assert not PLAIN.prepare([image])[1]
    assert not PLAIN.prepare(image[None])[1]


def test_booleans_and_floats_of_every_width_keep_their_values() -> None:
    mask = np.eye(4, 6, dtype=bool)
    for dtype in (bool, np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(prepared(PLAIN, mask.astype(dtype))[0, 0], mask.astype(np.float32))


def test_nested_lists_of_floats_are_an_array() -> None:
    found, single = PLAIN.prepare([[0.5] * 6] * 4)
    assert single
    np.testing.assert_array_equal(found, np.full((1, 1, 4, 6), 0.5, np.float32))


def test_tensors_that_require_gradients_are_accepted() -> None:
    tensor = torch.full((1, 4, 6), 0.5, requires_grad=True)
    assert prepared(PLAIN, tensor).max() == 0.5


def test_the_result_is_contiguous_and_does_not_share_the_callers_memory() -> None:
    image = np.zeros((1, 1, 4, 6), np.float32)
    found = prepared(PLAIN, image)
    found += 1
    assert image.max() == 0
    assert prepared(COLOUR, np.zeros((4, 6, 3), np.uint8)).flags.c_contiguous


@pytest.mark.parametrize("empty", [[], (), np.empty((0, 1, 4, 6)), np.empty((0, 4, 6), np.uint8)])
def test_an_empty_batch_gives_an_empty_result(empty: object) -> None:
    found, single = PLAIN.prepare(empty)
    assert found.shape == (0, 1, 4, 6)
    assert found.dtype == np.float32
    assert not single


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((4, 7), np.uint8), r"wrong shape \[4, 7\].*\[1, 4, 6\], \[4, 6, 1\], \[4, 6\]"),
        (np.zeros((3, 4, 6, 3), np.uint8), r"wrong shape \[3, 4, 6, 3\]"),
        (np.uint8(3), r"wrong shape \[\];"),
        (np.zeros((4, 6)) * np.nan, "NaN or infinite"),
        (np.full((4, 6), np.inf), "NaN or infinite"),
        (np.full((4, 6), 16.0), r"in \[0, 1\], found 16 to 16; divide.*16 for scikit-learn's digits.*uint8"),
        (np.full((4, 6), -0.1), r"found -0.1 to -0.1"),
        (np.zeros((4, 6), np.int64), "arrays of int64 have no fixed range"),
        (np.zeros((4, 6), np.uint16), "arrays of uint16 have no fixed range"),
        (np.array(["a.png", "b.png"]), "an array of <U5 holds no pixels; pass a list of paths"),
        (np.ma.masked_equal(np.eye(4, 6), 1), "found masked values, allowed an array without"),
        ([[0.5, 0.5], [0.5]], "not an array"),
        (None, "found NoneType None; the model takes a path"),
        (b"bytes", "the content of . bytes is not a readable image"),
        ([np.zeros((4, 6)), "missing.png"], "input 1: no such file"),
        ([[np.zeros((4, 6))]], "input 0: found list"),
    ],
)  # fmt: skip
def test_an_array_that_is_not_an_image_of_the_model_is_refused(inputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PLAIN.prepare(inputs)


def test_grey_arrays_are_refused_by_colour_models() -> None:
    with pytest.raises(InputError, match=r"wrong shape \[4, 6\]"):
        COLOUR.prepare(np.zeros((4, 6), np.uint8))


def test_an_error_in_a_later_batch_names_the_index_of_the_input() -> None:
    batches, _ = PLAIN.batches([np.zeros((4, 6))] * 5 + ["missing.png"], 2)
    with pytest.raises(InputError, match="input 5: no such file"):
        list(batches)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([1.0, 2.0, 3.0], r"wrong shape \[3\]; the model takes \[4\] or \[B, 4\]"),
        (np.zeros((2, 2, 4)), r"wrong shape \[2, 2, 4\]"),
        ([1.0, 2.0, 3.0, float("nan")], "NaN or infinite"),
        ([1.0, 2.0, 3.0, 1e300], "NaN or infinite"),
        (["a", "b", "c", "d"], "input 0: found str 'a'; the model takes numbers"),
        (np.array(["1", "2", "3", "4"]), "tables hold numbers, found an array of <U1"),
        ([1, 2, 3, None], "tables hold numbers, found an array of object"),
    ],
)
def test_an_input_that_is_not_a_table_of_the_model_is_refused(inputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TABLE.prepare(inputs)


def test_table_rows_are_arrays_or_lists_of_integers_or_floats() -> None:
    row = [5, 3, 1, 0]
    expected = prepared(TABLE, np.array(row, np.float64))
    for one in (row, tuple(row), np.array(row), np.array(row, np.uint8)):
        assert TABLE.prepare(one)[1]
        np.testing.assert_array_equal(prepared(TABLE, one), expected)
    for batch in ([row, row], [np.array(row)] * 2, np.array([row, row])):
        assert not TABLE.prepare(batch)[1]
        np.testing.assert_array_equal(prepared(TABLE, batch), np.repeat(expected, 2, axis=0))


def test_lists_and_arrays_make_the_spec_that_tuples_make() -> None:
    arrays: Any = ([2], np.array([0.5, 1.0]), np.ones(2, np.float32))
    spec = InputSpec("table", *arrays)
    assert spec == InputSpec("table", (2,), (0.5, 1.0), (1.0, 1.0))
    assert hash(spec) == hash(InputSpec("table", (2,), (0.5, 1.0), (1.0, 1.0)))
    assert spec.prepare([[0.5, 2.0]])[0].tolist() == [[0.0, 1.0]]
    for wrong in (2, "2", ["a"], [2.5], None):
        with pytest.raises(InputError, match=r"input shape: found .*allowed a tuple of numbers"):
            InputSpec("table", wrong, (0.0,), (1.0,))  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [GREY, COLOUR, TABLE, InputSpec("image", (1, 8, 8), (0,), (1,), 10)])
def test_a_spec_is_unchanged_by_json(spec: InputSpec) -> None:
    assert InputSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sound"}, "kind must be 'image' or 'table', found 'sound'"),
        ({"kind": 3}, "input kind must be a string, found 3"),
        ({"shape": [4, 6]}, r"input shape must be \[C, H, W\], all positive, found \[4, 6\]"),
        ({"shape": [1, 4, 0]}, "all positive"),
        ({"shape": [1, 4, 6.0]}, r"input shape\[2\] must be an integer, found 6.0"),
        ({"shape": [1, 4, True]}, r"input shape\[2\] must be an integer, found True"),
        ({"mean": [0.5, 0.5]}, "input mean has 2 values, one per channel is 1"),
        ({"mean": [float("nan")]}, r"input mean\[0\] must be a finite number"),
        ({"std": [0.0]}, "input std must be finite and positive"),
        ({"std": "1"}, "input std must be a list, found '1'"),
        ({"resize": 5}, r"input resize 5 is smaller than the crop \[4, 6\]"),
        ({"resize": "5"}, "input resize must be an integer"),
        ({"crop": 4}, "input has unknown 'crop'; allowed: kind, mean, resize, shape, std"),
    ],
)
def test_a_wrong_field_of_a_spec_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        InputSpec.from_json({**GREY.to_json(), **change})


def test_a_missing_field_of_a_spec_is_named() -> None:
    with pytest.raises(InputError, match="input lacks 'mean', 'std'"):
        InputSpec.from_json({"kind": "image", "shape": [1, 4, 6]})


def test_a_table_with_a_resize_is_refused() -> None:
    with pytest.raises(InputError, match="resize is for images only"):
        InputSpec("table", (1,), (0.0,), (1.0,), 4)
