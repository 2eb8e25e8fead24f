from __future__ import annotations

import pytest
from pydantic import ValidationError

from zoo.config.data import CropConfig, DigitsConfig, ImageFolderConfig


def test_the_bounds_of_a_crop_are_ordered_and_within_the_image() -> None:
    with pytest.raises(ValidationError, match=r"ratio \[2\.0, 1\.0\] should be a lower and an upper bound"):
        CropConfig(ratio=(2, 1))
    with pytest.raises(ValidationError, match=r"scale \[0\.5, 1\.5\] should not exceed 1, the whole image"):
        CropConfig(scale=(0.5, 1.5))


def test_images_are_resized_to_at_least_their_crop() -> None:
    with pytest.raises(ValidationError, match="resize 200 should be at least image_size 224"):
        ImageFolderConfig(name="image_folder", resize=200)
    assert ImageFolderConfig(name="image_folder", resize=224).image_size == 224


@pytest.mark.parametrize("validation", [0, 0.0])
def test_training_without_validation_samples_is_refused(validation: float) -> None:
    with pytest.raises(ValidationError, match="validation should be above 0"):
        DigitsConfig(name="digits", validation=validation)
