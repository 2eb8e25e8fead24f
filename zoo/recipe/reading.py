"""Reads a recipe's YAML and overrides its keys."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from sdk.artifact import CONFIG_FILE
from sdk.resolve import BUNDLED_PREFIX, local_models
from zoo.data.location import is_hub_id
from zoo.recipe.problems import show_value
from zoo.utils.errors import RecipeError


def read_tree(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file; raises RecipeError for a file that cannot be read or holds something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    tree = _parse(text, str(path))
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
    value = _parse(text, f"override {override!r}")
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


def _parse(text: str, where: str) -> Any:
    try:
        # _Loader is a SafeLoader, which constructs plain values only.
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise RecipeError(f"{where}:{place} {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a duplicate key is an error and ``3e-4`` is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # refused as unhashable by the base class
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)
