"""Reads a recipe's YAML and overrides its keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdk.artifact import CONFIG_FILE
from sdk.resolve import BUNDLED_PREFIX, local_models
from zoo.data.location import is_hub_id
from zoo.recipe.parsing import DEPTH_LIMIT, SIZE_LIMIT, parse_yaml
from zoo.recipe.problems import show_value
from zoo.utils.errors import RecipeError


def read_tree(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file; raises RecipeError for a file that cannot be read or holds something else."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(SIZE_LIMIT + 1)  # one too many is refused when parsed
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise RecipeError(
            f"{path}: should be a mapping with the sections model, data and train, found {show_value(tree)}"
        )
    return tree


def override_key(tree: dict[Any, Any], override: str) -> None:
    """Set ``key.path=value`` in the tree, in place; raises RecipeError if the path leads through a value."""
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise RecipeError(f"override {override!r}: should be key.path=value, such as train.epochs=5")
    if len(keys) > DEPTH_LIMIT:
        raise RecipeError(f"override {override[:60]!r}...: found {len(keys)} keys in its path, allowed {DEPTH_LIMIT}")
    value = parse_yaml(text, f"override {override!r}")
    node = tree
    for depth, key in enumerate(keys[:-1], start=1):
        if node.get(key) is None:
            node[key] = {}
        if not isinstance(node[key], dict):
            found = show_value(node[key])
            raise RecipeError(f"override {override!r}: {'.'.join(keys[:depth])} holds {found}, which has no keys")
        node = node[key]
    node[keys[-1]] = value


def make_path_absolute(tree: dict[Any, Any], folder: Path) -> None:
    """Make ``data.path`` absolute, in place, if it is relative to ``folder``; below the user's home, start it with ~.

    A name on the Hub, ``user/repo``, stays as it is unless it is a folder.

    A resolved recipe is stored with the trained model, where a relative path would lead elsewhere, and the home folder
    would show the user's name to everyone with whom the model is shared.
    """
    data = tree.get("data")
    if not isinstance(data, dict) or not isinstance(path := data.get("path"), str) or not path:
        return
    if data.get("name") == "dataset" and is_hub_id(path) and not (folder / path).exists():
        return
    data["path"] = _absolute(path, folder)


def make_source_absolute(tree: dict[Any, Any], folder: Path) -> None:
    """Make ``train.start_from`` absolute, in place, if it is a path relative to ``folder``.

    ``a/b`` is a path if such a model exists, else a repo on the Hub. A plain name that means a bundled model becomes
    ``bundled:NAME``, so that it means the same after a model of the user's own has got the name.
    """
    train = tree.get("train")
    if not isinstance(train, dict) or not isinstance(source := train.get("start_from"), str):
        return
    separate = "/" in source or os.sep in source or source in (".", "..")
    if separate and (source[0] in "./~" or os.path.isfile(folder / source / CONFIG_FILE)):
        train["start_from"] = _absolute(source, folder)
    elif not separate and (meant := local_models(source)) and meant[0][1].startswith(BUNDLED_PREFIX):
        train["start_from"] = meant[0][1]


def _absolute(path: str, folder: Path) -> str:
    """Return a path relative to ``folder`` as an absolute one, which starts with ~ below the user's home."""
    absolute = Path(os.path.abspath(folder / os.path.expanduser(path)))
    home = Path(os.path.expanduser("~"))
    below_home = absolute.is_relative_to(home) and home != Path(home.anchor)
    return str("~" / absolute.relative_to(home)) if below_home else str(absolute)
