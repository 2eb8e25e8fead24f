"""A recipe, and how it is loaded: found, read, overridden and validated."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SerializeAsAny

from zoo.config.base import Section
from zoo.config.data import DataConfig
from zoo.config.export import ExportConfig
from zoo.config.train import TrainConfig
from zoo.families.base import FamilyConfig
from zoo.recipe.files import find_recipe
from zoo.recipe.parsing import to_yaml
from zoo.recipe.reading import make_path_absolute, make_source_absolute, override_key, read_tree
from zoo.recipe.validation import validate_sections


class Recipe(Section):
    """A validated recipe."""

    name: str
    """The name of the recipe's file, which is also the model's."""
    model: SerializeAsAny[FamilyConfig]
    data: DataConfig
    train: TrainConfig
    export: ExportConfig

    def to_dict(self) -> dict[str, Any]:
        """Return the four sections, with every default filled in, as plain JSON values."""
        return self.model_dump(mode="json", exclude={"name"})

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML that loads to the same recipe."""
        return to_yaml(self.to_dict())

    def sha256(self) -> str:
        """Return the hash of the resolved recipe, which is equal for recipes with the same meaning."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a shipped recipe by name, or any recipe by path, with ``key.path=value`` overrides.

    A string that ends in ``.yaml`` or contains a path separator is a path. The value of an override is YAML. A relative
    ``data.path`` or ``train.start_from`` starts at the recipe's folder, that of an override at the current one. Raises
    RecipeError with one line per problem.
    """
    path, tree = _read(name_or_path)
    return _build(tree, path, overrides)


def read_recipe(name_or_path: str | Path) -> tuple[str, dict[str, Any]]:
    """Return a recipe's name and what its file says, with absolute paths, for :func:`stored_recipe`.

    Raises RecipeError.
    """
    path, tree = _read(name_or_path)
    return path.stem, tree


def stored_recipe(tree: dict[str, Any], source: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Build the recipe whose :meth:`Recipe.to_dict` is stored in the file ``source``; it has the file's name.

    Raises RecipeError.
    """
    return _build(copy.deepcopy(tree), source, overrides)


def _read(name_or_path: str | Path) -> tuple[Path, dict[Any, Any]]:
    path = find_recipe(name_or_path)
    tree = read_tree(path)
    make_path_absolute(tree, path.parent)
    make_source_absolute(tree, path.parent)
    return path, tree


def _build(tree: dict[Any, Any], path: Path, overrides: Sequence[str]) -> Recipe:
    for override in overrides:
        override_key(tree, override)
    make_path_absolute(tree, Path())
    make_source_absolute(tree, Path())
    return Recipe.model_construct(name=path.stem, **validate_sections(tree, path))
