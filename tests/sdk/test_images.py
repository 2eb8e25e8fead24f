from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from sdk import InputError, InputSpec

COLOUR = InputSpec("image", (3, 4, 6), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = InputSpec("image", (1, 4, 6), (0.0,), (1.0,))


def prepared(spec: InputSpec, inputs: object) -> np.ndarray:
    return spec.prepare(inputs)[0]


def test_a_list_may_mix_files_pil_images_and_arrays(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    inputs = [str(tmp_path / "a.png"), tmp_path / "a.png", Image.fromarray(pixels), pixels]
    np.testing.assert_array_equal(prepared(COLOUR, inputs), np.repeat(prepared(COLOUR, [pixels]), 4, axis=0))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([None, 16, 21]))
def test_images_are_resized_and_cropped_as_in_torchvision(height: int, width: int, resize: int | None) -> None:
    spec = InputSpec("image", (3, 16, 16), (0.0,) * 3, (1.0,) * 3, resize)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))
    pipeline = v2.Compose([v2.Resize(resize or 16), v2.CenterCrop(16), v2.PILToTensor()])
    expected = pipeline(image).float().div(255).numpy()
    np.testing.assert_array_equal(prepared(spec, image)[0], expected)


def test_without_a_resize_the_image_covers_a_crop_of_any_shape() -> None:
    spec = InputSpec("image", (1, 4, 16), (0.0,), (1.0,))
    for size in ((8, 8), (100, 3), (3, 100), (16, 4)):
        assert (prepared(spec, Image.new("L", size, 255)) == 1).all()


def test_grey_images_serve_colour_models_and_colour_images_grey_models() -> None:
    grey = Image.new("L", (6, 4), 100)
    np.testing.assert_array_equal(prepared(PLAIN, grey.convert("RGB")), prepared(PLAIN, grey))
    assert prepared(COLOUR, grey).shape == (1, 3, 4, 6)


def test_transparency_is_composited_on_black() -> None:
    for mode, colour in (("RGBA", (255, 255, 255, 0)), ("LA", (255, 0))):
        assert prepared(PLAIN, Image.new(mode, (6, 4), colour)).max() == 0
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, 255, 255, 255])
    assert prepared(PLAIN, palette).min() == 1
    palette.info["transparency"] = 1
    assert prepared(PLAIN, palette).max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LA", "I;16", "F"])
def test_images_of_every_mode_convert_to_grey_and_colour(mode: str) -> None:
    picture = Image.new(mode, (6, 4))
    for spec in (PLAIN, COLOUR):
        assert np.isfinite(prepared(spec, picture)).all()


def test_sixteen_bit_images_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 32896, np.uint16)).save(tmp_path / "deep.png")
    expected = np.full((1, 1, 4, 6), np.float32(128) / np.float32(255))
    np.testing.assert_array_equal(prepared(PLAIN, tmp_path / "deep.png"), expected)


def test_images_are_rotated_upright_by_their_exif_tag(tmp_path: Path) -> None:
    upright = np.zeros((4, 6), np.uint8)
    upright[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    Image.fromarray(upright[::-1].copy()).save(tmp_path / "turned.png", exif=exif)
    found = prepared(PLAIN, tmp_path / "turned.png")[0, 0]
    np.testing.assert_array_equal(found, upright / np.float32(255))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("missing.png", "no such file: 'missing.png'"),
        (".", "'.' is a folder"),
        ("", "found '', allowed the path of an image"),
        (Image.new("I", (6, 4)), "32-bit integer images have no fixed range"),
        (Image.fromarray(np.full((4, 6), 9.0, np.float32)), "mode F image must have values"),
    ],
)
def test_a_file_or_image_without_usable_pixels_is_refused(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PLAIN.prepare(image)


def test_a_text_file_and_a_truncated_image_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("not an image")
    with pytest.raises(InputError, match=r"words\.txt' is not a readable image"):
        PLAIN.prepare(tmp_path / "words.txt")
    Image.effect_noise((64, 64), 80).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(InputError, match=r"cannot read '.*cut\.png' as an image"):
        PLAIN.prepare(tmp_path / "cut.png")


def test_images_are_refused_by_models_with_other_numbers_of_channels() -> None:
    spec = InputSpec("image", (5, 4, 6), (0.0,) * 5, (1.0,) * 5)
    with pytest.raises(InputError, match="the model takes 5; pass an array"):
        spec.prepare(Image.new("L", (6, 4)))
