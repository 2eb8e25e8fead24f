"""The bundled models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.artifact import CONFIG_FILE, NAME_PATTERN, ArtifactConfig, locate_file, read_config
from sdk.backends import backends_of
from sdk.errors import ArtifactError

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ModelInfo:
    """What :func:`list_models` says of a bundled model."""

    name: str
    family: str
    parameters: int
    metrics: dict[str, Any]
    size_bytes: int
    """All files together."""
    path: Path
    """The artifact's folder; :func:`load` takes it too."""
    backends: tuple[str, ...]
    """What can run it, the one that ``backend="auto"`` takes first."""


def list_models(family: str | None = None) -> list[ModelInfo]:
    """The bundled models by name, all or those of one family.

    Files are checked for presence and size, their hashes when a model is loaded. Raises ArtifactError naming
    a damaged model rather than leaving it out.
    """
    infos = [_info(path) for path in bundled_models().values()]
    return [info for info in infos if family in (None, info.family)]


def bundled_models() -> dict[str, Path]:
    """The folder of every bundled model by name, sorted; empty when nothing is bundled."""
    root = exports_folder()
    if root is None:
        return {}
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    return {name: root / name for name in names if re.fullmatch(NAME_PATTERN, name)}


def exports_folder() -> Path | None:
    """Where the bundled models lie: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent
    if (package / "exports").is_dir():
        return package / "exports"
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "exports").is_dir():
        return checkout / "exports"
    return None


def _info(folder: Path) -> ModelInfo:
    config: ArtifactConfig = read_config(folder)
    if config.name != folder.name:
        raise ArtifactError(f"{folder}: config.json names the model {config.name!r}; the folder must be called so")
    for path in config.files:
        locate_file(folder, config, path)
    files = [folder / CONFIG_FILE, *(folder / path for path in config.files)]
    return ModelInfo(
        name=config.name,
        family=config.family,
        parameters=config.parameters,
        metrics=config.metrics,
        size_bytes=sum(file.stat().st_size for file in files),
        path=folder,
        backends=backends_of(config),
    )
