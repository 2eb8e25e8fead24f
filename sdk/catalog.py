"""The catalog of the models on this machine: the user's own, and those that are bundled with the package."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sdk.artifact import CONFIG_FILE, NAME_PATTERN, locate_file, read_config
from sdk.backends import backends_of
from sdk.errors import ArtifactError, DamagedModelWarning, HubError, HubUnreachableError, give_warning
from sdk.places import models_folder


@dataclass(frozen=True, repr=False)
class ModelInfo:
    """A model on this machine, as :func:`list_models` describes it."""

    name: str
    """The name that :func:`sdk.load` takes. Of an own model, this is the name of its folder."""
    family: str
    parameters: int
    metrics: dict[str, Any]
    size_bytes: int
    """Size of all files together."""
    path: Path
    """The artifact's folder, which :func:`sdk.load` also takes; of a model on the Hub, that of its commit in the cache,
    which may hold config.json alone."""
    backends: tuple[str, ...]
    """The backends that can run it, beginning with the one that ``backend="auto"`` chooses."""
    where: Literal["own", "bundled", "hub"] = "bundled"
    """``own``: in :func:`sdk.places.models_folder`. ``bundled``: shipped with the package. ``hub``: on the Hub."""

    def __repr__(self) -> str:
        name, *facts = self._row()
        return f"<ModelInfo: {name}, {', '.join(facts)}>"

    def _row(self) -> tuple[str, ...]:
        accuracy = self.metrics.get("test_accuracy")
        return (
            self.name,
            self.family,
            f"{accuracy:.2%}" if isinstance(accuracy, float) else "-",
            f"{self.parameters:,} parameters",
            f"{self.size_bytes / 1e6:.2f} MB",
            "/".join(self.backends),
            self.where,
        )


class ModelList(list[ModelInfo]):
    """A list of models that prints as a table: name, family, accuracy, parameters, size, backends, place."""

    def __repr__(self) -> str:
        rows = [info._row() for info in self]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(lines) or "no models"


def list_models(family: str | None = None, *, hub: str | None = None) -> ModelList:
    """Return the user's own and the bundled models, sorted by name: all of them, or those of one family.

    The list prints as a table. ``hub`` names a user or an organization, whose models on the Hub are listed instead;
    config.json of each is downloaded. A repo that holds no model, and one that the token may not read, is left out with
    a DamagedModelWarning; raises HubError if the Hub cannot be asked.

    Of two models with one name, the own one comes first; it is the one that :func:`sdk.load` takes by name. Every
    file's presence and size are checked here; hashes are checked when a model is loaded. A damaged model is not left
    out silently: a bundled one raises an ArtifactError that names it, an own one a DamagedModelWarning.
    """
    if hub is not None:
        return ModelList(info for info in _hub_infos(hub) if family in (None, info.family))
    own, damaged = own_infos()
    for problem in damaged.values():
        give_warning(DamagedModelWarning(f"a damaged model is left out: {problem}"))
    infos = [*own, *(read_info(path, "bundled") for path in bundled_models().values())]
    return ModelList(sorted((info for info in infos if family in (None, info.family)), key=lambda info: info.name))


def _hub_infos(user: str) -> list[ModelInfo]:
    """Return the models of a user on the Hub, sorted by name."""
    from sdk.hub.download import fetch_artifact  # the Hub's client takes a moment to import
    from sdk.hub.listing import search_hub
    from sdk.hub.reference import HubReference

    infos = []
    for name in sorted(entry.name for entry in search_hub(author=user)):
        try:
            artifact = fetch_artifact(HubReference(name), lambda config: ())
        except HubUnreachableError:
            raise
        except (ArtifactError, HubError) as error:
            give_warning(DamagedModelWarning(f"a model that cannot be read is left out: {error}"))
            continue
        config = artifact.config
        size = sum(record.size for record in config.files.values())
        facts = (config.family, config.parameters, config.metrics, size, artifact.folder, backends_of(config))
        infos.append(ModelInfo(name, *facts, "hub"))
    return infos


def own_infos() -> tuple[list[ModelInfo], dict[Path, ArtifactError]]:
    """Return the user's own models, and the errors of those that are damaged by folder."""
    infos, damaged = [], {}
    for path in own_models().values():
        try:
            infos.append(read_info(path, "own"))
        except ArtifactError as error:
            damaged[path] = error
    return infos, damaged


def own_models() -> dict[str, Path]:
    """Return each folder in :func:`sdk.places.models_folder` by name, sorted; empty if that cannot be read."""
    return {name: path for name, path in _folders_in(models_folder()).items() if not name.startswith(".")}


def bundled_models() -> dict[str, Path]:
    """Return the folder of each bundled model by name, sorted; empty when nothing is bundled."""
    root = exports_folder()
    folders = {} if root is None else _folders_in(root)
    return {name: path for name, path in folders.items() if re.fullmatch(NAME_PATTERN, name)}


def exports_folder() -> Path | None:
    """Return the folder of the bundled models: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent
    if (package / "exports").is_dir():
        return package / "exports"
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "exports").is_dir():
        return checkout / "exports"
    return None


def read_info(folder: Path, where: Literal["own", "bundled"]) -> ModelInfo:
    """Describe the model in a folder; raises ArtifactError if it is damaged."""
    config = read_config(folder)
    if where == "bundled" and config.name != folder.name:
        raise ArtifactError(f"{folder}: config.json names the model {config.name!r}; the two must match")
    for path in config.files:
        locate_file(folder, config, path)
    files = [folder / CONFIG_FILE, *(folder / path for path in config.files)]
    return ModelInfo(
        name=folder.name,
        family=config.family,
        parameters=config.parameters,
        metrics=config.metrics,
        size_bytes=sum(file.stat().st_size for file in files),
        path=folder,
        backends=backends_of(config),
        where=where,
    )


def _folders_in(root: Path) -> dict[str, Path]:
    try:
        return {name: root / name for name in sorted(os.listdir(root)) if os.path.isdir(root / name)}
    except OSError:  # no such folder, or one of another user
        return {}
