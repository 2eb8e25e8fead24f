from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.recipe.own_data import recipe_on_data
from zoo.utils.errors import RecipeError


@pytest.fixture
def photos(tmp_path: Path) -> str:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    return str(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "overrides", "size", "resize", "mode"),
    [
        ("cnn-digits", [], 8, 8, "L"),
        ("cnn-cifar10", [], 32, 32, "RGB"),
        ("gridnet-imagenet", [], 256, 292, "RGB"),
        ("cnn-digits", ["data.image_size=16", "data.mode=RGB"], 16, 16, "RGB"),
        ("cnn-mnist", ["data.image_size=20"], 20, 20, "L"),
        ("cnn-mnist", ["data.image_size=20", "data.resize=28"], 20, 28, "L"),
        ("cnn-mnist", ["data.image_size=[9, 12]"], (9, 12), 12, "L"),
        ("gridnet-imagenet", ["data.image_size=64"], 64, 73, "RGB"),
        ("nca-iris", ["data.image_size=8"], 8, 9, None),
    ],
)
def test_images_become_those_of_the_recipe_or_of_an_override(
    photos: str, recipe: str, overrides: list[str], size: Any, resize: int, mode: str
) -> None:
    found, [line] = recipe_on_data(recipe, photos, overrides=overrides)
    assert (found.data.image_size, found.data.resize, found.data.mode) == (size, resize, mode)  # type: ignore[union-attr]
    height, width = size if isinstance(size, tuple) else (size, size)
    assert line.startswith(f"images: {width}x{height} pixels, {'grey' if mode == 'L' else 'RGB'}")
    assert ("as in the recipe's" in line) == (not overrides)


def test_a_recipe_that_does_not_say_the_size_of_its_images_needs_one(photos: str) -> None:
    with pytest.raises(RecipeError, match=r"^data\.image_size: found none in nca-iris.*-o data\.image_size=N$"):
        recipe_on_data("nca-iris", photos)


@pytest.mark.parametrize("size", ["tall", "[1, 2, 3]", "[a, b]", "0"])
def test_a_size_that_is_none_is_refused_in_the_usual_words(photos: str, size: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.image_size.*should"):
        recipe_on_data("cnn-digits", photos, overrides=[f"data.image_size={size}"])
