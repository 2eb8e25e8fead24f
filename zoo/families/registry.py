"""The registry of model families: resolves names to packages, and hooks to functions."""

from __future__ import annotations

import importlib
from typing import Any

from sdk.validation import hint
from zoo.families.base import Family
from zoo.utils.errors import FamilyError

_PACKAGES = {
    "cellnet": "zoo.families.cellnet",
    "cnn": "zoo.families.cnn",
    "gridnet": "zoo.families.gridnet",
    "mlp": "zoo.families.mlp",
    "nca": "zoo.families.nca",
    "normnet": "zoo.families.normnet",
    "snapshots": "zoo.families.snapshots",
}


def family_names() -> list[str]:
    """Return the names of all families, sorted."""
    return sorted(_PACKAGES)


def families_with(hook: str) -> list[str]:
    """Return the names of the families that have an optional hook, such as ``probe`` or ``bench``."""
    return [name for name in family_names() if getattr(get_family(name), hook) is not None]


def get_family(name: str) -> Family:
    """Look up a family by name. Raises FamilyError, which lists the known families."""
    if name not in _PACKAGES:
        known = family_names()
        raise FamilyError(f"unknown family {name!r}{hint(name, known)}; known families: {', '.join(known)}")
    family: Family = importlib.import_module(_PACKAGES[name]).FAMILY
    return family


def load_hook(hook: str) -> Any:
    """Import the function or class that a family names as ``"package.module:attribute"``."""
    module, _, attribute = hook.partition(":")
    return getattr(importlib.import_module(module), attribute)
