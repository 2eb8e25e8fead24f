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
from zoo.data.location import data_folder, dataset_title
from zoo.recipe.files import check_name, find_recipe
from zoo.recipe.reading import make_path_absolute, override_key, read_tree
from zoo.recipe.recipe import Recipe, load_recipe
from zoo.recipe.validation import validate_sections
from zoo.utils.errors import RecipeError

_FIXED: dict[str, dict[str, Any]] = {
    "digits": {"image_size": 8, "mode": "L"},
    "mnist": {"image_size": 28, "mode": "L"},
    "fashion_mnist": {"image_size": 28, "mode": "L"},
    "uoft-cs/cifar10": {"image_size": 32, "mode": "RGB"},
}
"""The images of data sets whose sections do not say, by name or by the path of a data set on the Hub."""
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
    recipe = load_recipe(name_or_path)
    own = recipe.data.model_dump(mode="json")
    kind, data = _section(path, target, overrides, data_dir)
    notes: list[str] = []
    augment = own.get("augment")
    images: dict[str, Any] = {}
    if kind == "images":
        images = _images(own)
        data |= {**images, **({"augment": augment} if augment else {})}
    elif augment and AugmentConfig.model_validate(augment) != AugmentConfig():
        notes.append("data.augment: left out, because a table has no images to augment")
    data |= {key: own[key] for key in ("seed", "workers", "task") if key in own}
    tree = {**read_tree(file), "data": data}
    make_path_absolute(tree, Path())
    for override in overrides:
        override_key(tree, override)
    make_path_absolute(tree, Path())
    if kind == "images" and isinstance(tree.get("data"), dict):
        free = not any(override.partition("=")[0].strip() == "data.resize" for override in overrides)
        notes += _settle_images(tree["data"], images, free, dataset_title(recipe.data), file.stem)
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


def _images(own: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that make images what those of the recipe are."""
    keys = {key: own[key] for key in _IMAGE_KEYS if own.get(key) is not None}
    keys |= _FIXED.get(own["name"], {}) | _FIXED.get(str(own.get("path")), {})
    if own["name"] == "image_folder":
        keys.setdefault("mode", "RGB")
    elif "image_size" in keys:
        keys.setdefault("resize", _longest(keys["image_size"]))  # the whole shorter side
    return keys


def _settle_images(data: dict[str, Any], own: dict[str, Any], free: bool, title: str, recipe: str) -> list[str]:
    """Let ``resize``, if it is ``free``, follow a size that an override changed; return a line on what images become.

    ``own`` are the keys of the recipe's images. Raises RecipeError for a folder of images of which neither says a size.
    """
    size = data.get("image_size")
    if size is None:
        if data.get("name") == "image_folder":
            raise RecipeError(
                f"data.image_size: found none in {recipe}, whose data are {title}; set the model's side in pixels with "
                "-o data.image_size=N"
            )
        return []
    sides = size if isinstance(size, list) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        return []  # validation refuses it
    if free and size != own.get("image_size") and own.get("resize") is not None:
        data["resize"] = round(own["resize"] * _longest(size) / _longest(own["image_size"]))
    changed = any(data.get(key) != own.get(key) for key in ("image_size", "mode"))
    height, width = sides
    usual = "RGB" if data.get("name") == "image_folder" else "their own colours"
    kind = {"L": "grey", "RGB": "RGB"}.get(str(data.get("mode")), usual)
    advice = f", as in the recipe's {title}; change it with -o data.image_size=N and -o data.mode=L|RGB"
    return [f"images: {width}x{height} pixels, {kind}{'' if changed else advice}"]


def _longest(size: Any) -> Any:
    return size if isinstance(size, int) else max(size)


def _slug(path: str) -> str:
    """Return the last part of a path as a part of a model's name."""
    base = os.path.basename(os.path.abspath(os.path.expanduser(path)))
    return re.sub(r"[^a-z0-9]+", "-", base.rsplit(".", 1)[0].lower()).strip("-") or "data"
