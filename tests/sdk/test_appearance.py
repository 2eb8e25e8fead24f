"""The rule that recognises images of the opposite polarity."""

from __future__ import annotations

import numpy as np
import pytest

from sdk import InputError
from sdk.appearance import (
    DARK_ON_LIGHT,
    LIGHT_ON_DARK,
    Inverter,
    border_brightness,
    brightness,
    image_polarities,
    inverted,
    polarity_of,
    with_background,
)


def strokes(background: float, ink: float, touching: bool = False) -> np.ndarray:
    """Return an image ``[1, 1, 28, 28]`` of a cross on a uniform background."""
    image = np.full((1, 1, 28, 28), background, np.float32)
    first, last = (0, 28) if touching else (6, 22)
    image[0, 0, first:last, 12:16] = image[0, 0, 12:16, first:last] = ink
    return image


@pytest.mark.parametrize(
    ("background", "ink", "sign"),
    [
        (0, 1, 1), (1, 0, -1), (0.1, 0.5, 1), (0.55, 0.1, -1), (0.9, 0.6, -1),
        (0, 0, 0), (1, 1, 0), (0.5, 0.5, 0), (0.5, 0.6, 0), (0.8, 0.6, 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("touching", [False, True])
def test_strokes_are_light_on_dark_or_dark_on_light_by_their_contrast(
    background: float, ink: float, sign: int, touching: bool
) -> None:
    image = strokes(background, ink, touching)
    assert image_polarities(image).tolist() == [sign]
    assert image_polarities(inverted(image)).tolist() == [-sign]


def test_noise_on_paper_and_a_few_bright_pixels_do_not_matter() -> None:
    paper = strokes(0.6, 0.1) + np.random.default_rng(0).normal(0, 0.03, (1, 1, 28, 28)).astype(np.float32)
    paper[0, 0, 3, 3:6] = 1
    assert image_polarities(paper.clip(0, 1)).tolist() == [-1]


def test_random_noise_and_an_even_gradient_are_neither() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 3, 28, 28), np.uint8)
    gradient = np.broadcast_to(np.linspace(0, 1, 28, dtype=np.float32), (1, 1, 28, 28))
    assert not image_polarities(noise).any()
    assert not image_polarities(gradient).any()


def test_every_type_of_pixel_gives_the_same_answer() -> None:
    cross = strokes(1, 0)
    for image in (cross, (cross * 255).astype(np.uint8), cross.astype(bool), np.repeat(cross, 3, axis=1)):
        assert image_polarities(image).tolist() == [-1]
        assert image_polarities(inverted(image)).tolist() == [1]
        np.testing.assert_array_equal(inverted(inverted(image)), image)
        assert inverted(image).dtype == image.dtype


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 1)])
def test_images_of_a_few_pixels_are_all_border(size: tuple[int, int]) -> None:
    assert border_brightness(np.full((1, *size), 0.5, np.float32)).tolist() == [0.5]
    assert image_polarities(np.ones((0, 1, *size), np.uint8)).shape == (0,)


def test_an_inverter_changes_only_images_of_the_opposite_polarity() -> None:
    images = np.concatenate([strokes(0, 1), strokes(1, 0), strokes(1, 1), strokes(0.7, 0.1)])
    inverter = Inverter("image", LIGHT_ON_DARK, "auto")
    found = inverter(images)
    np.testing.assert_array_equal(found[:3], np.concatenate([images[:1], 1 - images[1:2], images[2:3]]))
    np.testing.assert_allclose(found[3:], strokes(0, 6 / 7), atol=1e-6)
    assert (inverter.seen, inverter.recognised) == (4, 2)
    warning = inverter.warning("net")
    assert warning is not None
    assert (warning.inverted, warning.seen) == (2, 4)
    assert str(warning) == (
        "inverted 2 of 4 images: they show dark strokes on a light background, and net was trained on light strokes "
        "on a dark background; invert=False uses images as they are"
    )


def test_grey_paper_becomes_the_background_that_the_model_knows() -> None:
    for polarity, paper, ink, expected in (
        (LIGHT_ON_DARK, 0.8, 0.2, strokes(0, 0.75)),
        (DARK_ON_LIGHT, 0.2, 0.8, strokes(1, 0.25)),
    ):
        photo = strokes(paper, ink)
        np.testing.assert_allclose(Inverter("image", polarity, "auto")(photo), expected, atol=1e-6)
        pixels = Inverter("image", polarity, "auto")(np.rint(photo * 255).astype(np.uint8))
        assert pixels.dtype == np.uint8
        np.testing.assert_allclose(pixels / 255, expected, atol=0.01)


@pytest.mark.parametrize("polarity", [LIGHT_ON_DARK, DARK_ON_LIGHT])
def test_a_black_or_white_background_stays_bit_for_bit(polarity: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 9, 9), np.uint8)
    pixels[:, :, [0, -1]] = pixels[:, :, :, [0, -1]] = 0 if polarity == LIGHT_ON_DARK else 255
    for images in (pixels, pixels.astype(np.float32) / np.float32(255), pixels > 128):
        found = with_background(images, polarity)
        np.testing.assert_array_equal(found, images)
        assert found.dtype == images.dtype


def test_a_model_of_dark_strokes_inverts_light_ones() -> None:
    inverter = Inverter("image", DARK_ON_LIGHT, "auto")
    np.testing.assert_array_equal(inverter(strokes(0, 1)), strokes(1, 0))
    assert inverter(strokes(1, 0)).tolist() == strokes(1, 0).tolist()
    assert "they show light strokes on a dark background" in str(inverter.warning("net"))


def test_invert_true_inverts_all_and_false_none_without_a_warning() -> None:
    for polarity in (LIGHT_ON_DARK, None):
        for invert, expected in ((True, 1 - strokes(1, 0)), (False, strokes(1, 0))):
            inverter = Inverter("image", polarity, invert)
            np.testing.assert_array_equal(inverter(strokes(1, 0)), expected)
            assert inverter.warning("net") is None


def test_auto_does_nothing_for_a_model_without_polarity() -> None:
    assert Inverter("image", None, "auto")(strokes(1, 0)).tolist() == strokes(1, 0).tolist()


def test_other_values_of_invert_and_inverted_tables_are_refused() -> None:
    with pytest.raises(InputError, match="invert: found 'yes', allowed 'auto', True or False"):
        Inverter("image", None, "yes")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="invert: found True, allowed 'auto' or False; only images can be inverted"):
        Inverter("table", None, True)
    assert Inverter("table", LIGHT_ON_DARK, False).polarity is None
    assert Inverter("table", None, np.False_).invert is False  # type: ignore[arg-type]
    assert Inverter("image", None, np.True_).invert is True  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "provenance",
    [{}, {"data": "mnist"}, {"data": {}}, {"data": {"appearance": 1}}, {"data": {"appearance": {"polarity": "up"}}},
     {"data": {"appearance": {"polarity": None}}}, {"data": {"appearance": {"polarity": ["light on dark"]}}}],
)  # fmt: skip
def test_a_provenance_without_a_known_polarity_means_none(provenance: dict[str, object]) -> None:
    assert polarity_of(provenance) is None


def test_photographs_have_no_polarity() -> None:
    from sklearn.datasets import load_sample_images

    generator = np.random.default_rng(0)
    crops = []
    for photo in load_sample_images().images:
        for _ in range(200):
            top, left = (int(generator.integers(0, n - 224)) for n in photo.shape[:2])
            crops.append(photo[top : top + 224 : 7, left : left + 224 : 7].transpose(2, 0, 1))
    signs = image_polarities(np.stack(crops))
    assert max((signs == 1).mean(), (signs == -1).mean()) < 0.5


def test_brightness_is_the_mean_of_the_channels() -> None:
    image = np.zeros((1, 3, 2, 2), np.uint8)
    image[0, 0] = 255
    np.testing.assert_allclose(brightness(image), np.full((1, 2, 2), 1 / 3), rtol=1e-6)
