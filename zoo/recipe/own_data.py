"""A recipe's model and training on other data: its ``data:`` section is replaced.

Images are resized and converted to what the recipe's own are, and its augmentation stays. A table has its own columns,
and the augmentation is dropped. Sizes of held-out parts are the defaults.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from zoo.config.data import AugmentConfig
from zoo.data.location import data_folder
from zoo.recipe.files import check_name, find_recipe
from zoo.recipe.reading import make_path_absolute, override_key, read_tree
from zoo.recipe.recipe import Recipe, load_recipe
from zoo.recipe.validation import validate_sections
from zoo.utils.errors import RecipeError

_FIXED: dict[str, dict[str, Any]] = {
    "digits": {"image_size": 8, "mode": "L"},
    "mnist": {"image_size": 28, "mode": "L"},
    "fashion_mnist": {"image_size": 28, "mode": "L"},
}
"""The images of data sets whose sections do not say."""
_SELECTING = tuple(f"data.{key}" for key in ("revision", "config", "input", "target", "splits"))
"""Keys that say which part of a data set is read."""
_IMAGE_KEYS = ("image_size", "resize", "mode")


def recipe_on_data(
    name_or_path: str | Path,
    path: str,
    target: str | None = None,
    name: str | None = None,
    overrides: Sequence[str] = (),
    data_dir: str | Path | None = None,
) -> tuple[Recipe, list[str]]:
    """Return the recipe on the data in ``path``, and lines on what was changed to fit them.

    ``path`` is a folder of images, a data file, a folder of data files or a data set on the Hub; ``target`` is its
    column of classes. The model is called ``name``, by default the recipe's name and that of the data. Overrides come
    last. Raises RecipeError and, for data that cannot be read, DataError.
    """
    file = find_recipe(name_or_path)
    own = load_recipe(name_or_path).data.model_dump(mode="json")
    kind, data = _section(path, target, overrides, data_dir)
    notes: list[str] = []
    augment = own.get("augment")
    if kind == "images":
        data |= _images(own, data["name"])
        notes += _say_images(data, own["name"])
        data |= {"augment": augment} if augment else {}
    elif augment and AugmentConfig.model_validate(augment) != AugmentConfig():
        notes.append("data.augment: left out, because a table has no images to augment")
    data |= {key: own[key] for key in ("seed", "workers", "task") if key in own}
    tree = {**read_tree(file), "data": data}
    make_path_absolute(tree, Path())
    for override in overrides:
        override_key(tree, override)
    make_path_absolute(tree, Path())
    model = check_name(name) if name else f"{file.stem}-{_slug(path)}"
    return Recipe.model_construct(name=model, **validate_sections(tree, file)), notes


def _section(
    path: str, target: str | None, overrides: Sequence[str], data_dir: str | Path | None
) -> tuple[Literal["images", "table"], dict[str, Any]]:
    """Return the kind of the data, and the ``data:`` section that names them."""
    from zoo.data.dataset import holds_images  # imports torch
    from zoo.data.dataset_source import is_image_folder

    local = Path(path).expanduser()
    if is_image_folder(local):
        if target is not None:
            raise RecipeError(f"--target {target}: {path} is a folder of images, whose classes are its subfolders")
        return "images", {"name": "image_folder", "path": path}
    data: dict[str, Any] = {"name": "dataset", "path": os.path.abspath(local) if local.exists() else path}
    data |= {"target": target} if target is not None else {}
    tree = {"data": dict(data)}
    for override in overrides:
        if override.partition("=")[0].strip().startswith(_SELECTING):
            override_key(tree, override)
    config = validate_sections({"model": {"family": "normnet"}, **tree}, Path("--data"))["data"]
    images = holds_images(config, data_folder(data_dir))
    return ("images" if images else "table"), {**data, "path": path}


def _images(own: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the keys that make images what those of the recipe are."""
    keys = {key: own[key] for key in _IMAGE_KEYS if own.get(key) is not None}
    keys |= _FIXED.get(own["name"], {})
    if own["name"] == "image_folder":
        keys.setdefault("mode", "RGB")
    elif "image_size" in keys:
        size = keys["image_size"]
        keys.setdefault("resize", size if isinstance(size, int) else max(size))  # the whole shorter side
    return keys


def _say_images(data: dict[str, Any], own: str) -> list[str]:
    size = data.get("image_size")
    if size is None:
        return []
    height, width = (size, size) if isinstance(size, int) else size
    kind = {"L": "grey", "RGB": "RGB"}.get(data.get("mode", ""), "their own colours")
    return [
        f"images: {width}x{height} pixels, {kind}, as in the recipe's {own}; change it with -o data.image_size=N and "
        "-o data.mode=L|RGB"
    ]


def _slug(path: str) -> str:
    """Return the last part of a path as a part of a model's name."""
    base = os.path.basename(os.path.abspath(os.path.expanduser(path)))
    return re.sub(r"[^a-z0-9]+", "-", base.rsplit(".", 1)[0].lower()).strip("-") or "data"
