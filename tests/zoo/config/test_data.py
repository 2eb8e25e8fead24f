from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.support.recipes import problem
from zoo.config.data import CropConfig, DigitsConfig, ImageFolderConfig, MnistConfig


def test_the_bounds_of_a_crop_are_ordered_and_within_the_image() -> None:
    with pytest.raises(ValidationError, match=r"ratio \[2\.0, 1\.0\] should be a lower and an upper bound"):
        CropConfig(ratio=(2, 1))
    with pytest.raises(ValidationError, match=r"scale \[0\.5, 1\.5\] should not exceed 1, the whole image"):
        CropConfig(scale=(0.5, 1.5))


def test_images_are_resized_to_at_least_their_crop() -> None:
    with pytest.raises(ValidationError, match="resize 200 should be at least image_size 224"):
        ImageFolderConfig(name="image_folder", resize=200)
    assert ImageFolderConfig(name="image_folder", resize=224).image_size == 224


@pytest.mark.parametrize(("image_size", "resize"), [(8, 9), (32, 37), (224, 256), (256, 293), (300, 343), (1, 1)])
def test_the_shorter_side_follows_the_image_size(image_size: int, resize: int) -> None:
    config = ImageFolderConfig(name="image_folder", image_size=image_size)
    assert config.resize == resize
    assert ImageFolderConfig.model_validate(config.model_dump()) == config


def test_a_given_shorter_side_stays() -> None:
    assert ImageFolderConfig(name="image_folder", image_size=32, resize=256).resize == 256
    assert ImageFolderConfig(name="image_folder").resize == 256


def test_an_invalid_image_size_is_the_only_problem() -> None:
    assert problem("data={name: image_folder, image_size: big}").startswith('data.image_size: found "big", should be')


@pytest.mark.parametrize("test", [0, 0.0])
def test_training_without_test_samples_is_refused(test: float) -> None:
    with pytest.raises(ValidationError, match="test should be above 0"):
        ImageFolderConfig(name="image_folder", test=test)


def test_unset_keys_that_older_recipes_lack_stay_out_of_the_resolved_section() -> None:
    assert not {"path", "test"} & ImageFolderConfig(name="image_folder").model_dump().keys()
    assert "path" not in MnistConfig(name="mnist").model_dump()
    given = ImageFolderConfig(name="image_folder", path="/pets", test=3).model_dump()
    assert (given["path"], given["test"]) == ("/pets", 3)


@pytest.mark.parametrize("validation", [0, 0.0])
def test_training_without_validation_samples_is_refused(validation: float) -> None:
    with pytest.raises(ValidationError, match="validation should be above 0"):
        DigitsConfig(name="digits", validation=validation)
