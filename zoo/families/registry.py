"""The registry of model families: resolves names to packages, and hooks to functions.

Another distribution adds a family with an entry point of the group ``cellzoo.families``: its name is the family's, and
its value names the :class:`zoo.families.base.Family`, such as ``cellzoo_ring:FAMILY``.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sdk.validation import describe, hint
from zoo.families.base import Family, FamilyConfig
from zoo.utils.errors import FamilyError, FamilyWarning

GROUP = "cellzoo.families"
PACKAGE_KEY = "family_package"
"""The key of an artifact's provenance that names the distribution of a family from elsewhere, and its version."""
_PACKAGES = {
    "cellnet": "zoo.families.cellnet",
    "cnn": "zoo.families.cnn",
    "gridnet": "zoo.families.gridnet",
    "mlp": "zoo.families.mlp",
    "nca": "zoo.families.nca",
    "normnet": "zoo.families.normnet",
    "snapshots": "zoo.families.snapshots",
}
RESERVED = (*_PACKAGES, "module")
"""Names that no package can give its family; ``module`` is that of networks without a family."""


def own_names() -> list[str]:
    """Return the names of cellzoo's own families, sorted."""
    return sorted(_PACKAGES)


def family_names() -> list[str]:
    """Return the names of all families, those of other packages included, sorted; no package is imported."""
    return sorted({*_PACKAGES, *_plugins()})


def families_with(hook: str) -> list[str]:
    """Return the names of the families that have an optional hook, such as ``probe`` or ``bench``.

    A family whose package cannot be imported is left out.
    """
    found = []
    for name in family_names():
        try:
            family = get_family(name)
        except FamilyError:
            continue
        if getattr(family, hook) is not None:
            found.append(name)
    return found


def get_family(name: str, package: object = None) -> Family:
    """Look up a family by name; ``package`` is what an artifact says about the distribution that it comes from.

    Raises FamilyError, which lists the known families or names the package that is missing or broken.
    """
    if name in _PACKAGES:
        family: Family = importlib.import_module(_PACKAGES[name]).FAMILY
        return family
    plugins = _plugins()
    if name in plugins:
        return _load(plugins[name])
    if isinstance(package, str) and package:
        raise FamilyError(
            f"family {name!r} comes from the package {describe(package)}, which is not installed; install it, if you "
            "trust it, to use the model here"
        )
    known = family_names()
    raise FamilyError(f"unknown family {name!r}{hint(name, known)}; known families: {', '.join(known)}")


def other_data(name: str, model: Mapping[str, Any], package: object = None) -> str | None:
    """Return the data that a network of a family was trained on in place of its recipe's, in words; None: the recipe's.

    ``model`` is the section of its config.json, ``package`` as for :func:`get_family`. Raises FamilyError.
    """
    hook = get_family(name, package).other_data
    words: str | None = load_hook(hook)(model) if hook else None
    return words


def package_of(name: str) -> str | None:
    """Return distribution and version of a family from another package, such as "cellzoo-ring 0.1.0", else None."""
    entry = _plugins().get(name)
    return None if entry is None else _distribution(entry)


def load_hook(hook: str) -> Any:
    """Import the function or class that a family names as ``"package.module:attribute"``.

    Raises FamilyError for one of another package that cannot be imported.
    """
    if not isinstance(hook, str) or not hook.partition(":")[2]:
        raise FamilyError(f"a family's hook should be text such as 'package.module:attribute', found {describe(hook)}")
    module, _, attribute = hook.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        if module.partition(".")[0] == __package__.partition(".")[0]:
            raise  # a bug here, or the training side is not installed
        raise FamilyError(f"the hook {hook} cannot be imported: {_reason(error)}") from error


@functools.cache
def _plugins() -> dict[str, EntryPoint]:
    """Return the entry points of other packages by the name of the family.

    Warns of a family whose name is taken; of two packages with the same name, neither is chosen in silence.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=_distribution):
        taken = "cellzoo" if entry.name in RESERVED else _distribution(found[entry.name]) if entry.name in found else ""
        if taken:
            warnings.warn(
                f"family {entry.name} of {_distribution(entry)} is ignored, because {taken} has a family of this name",
                FamilyWarning,
                stacklevel=2,
            )
            continue
        found[entry.name] = entry
    return found


@functools.cache
def _load(entry: EntryPoint) -> Family:
    """Import a family of another package; raises FamilyError if that fails or is not the family that it should be."""
    where = f"family {entry.name} of {_distribution(entry)}"
    try:
        family = entry.load()
    except (Exception, SystemExit) as error:  # whatever the package raises
        raise FamilyError(f"{where} cannot be imported: {_reason(error)}") from error
    if not isinstance(family, Family):
        raise FamilyError(f"{where}: {entry.value} should be a zoo.families.base.Family, found {describe(family)}")
    if not (isinstance(family.config, type) and issubclass(family.config, FamilyConfig)):
        raise FamilyError(f"{where}: its config should be a subclass of FamilyConfig, found {describe(family.config)}")
    default = family.config.model_fields["family"].default
    if (family.name, default) != (entry.name, entry.name):
        raise FamilyError(
            f"{where}: the entry point's name, Family.name and the default of its config's key family should be equal; "
            f"found {entry.name!r}, {family.name!r} and {describe(default)}"
        )
    return family


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unnamed package"
