"""The catalog of models that are bundled with the package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.artifact import CONFIG_FILE, NAME_PATTERN, locate_file, read_config
from sdk.backends import backends_of
from sdk.errors import ArtifactError


@dataclass(frozen=True, repr=False)
class ModelInfo:
    """A bundled model, as :func:`list_models` describes it."""

    name: str
    family: str
    parameters: int
    metrics: dict[str, Any]
    size_bytes: int
    """Size of all files together."""
    path: Path
    """The artifact's folder, which :func:`sdk.load` also takes."""
    backends: tuple[str, ...]
    """The backends that can run it, beginning with the one that ``backend="auto"`` chooses."""

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
        )


class ModelList(list[ModelInfo]):
    """A list of models that prints as a table: name, family, test accuracy, parameters, size and backends."""

    def __repr__(self) -> str:
        rows = [info._row() for info in self]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(lines) or "no models"


def list_models(family: str | None = None) -> ModelList:
    """Return the bundled models, sorted by name: all of them, or those of one family. The list prints as a table.

    Every file's presence and size are checked here; hashes are checked when a model is loaded. A damaged model is not
    left out: it raises an ArtifactError that names it.
    """
    infos = [_info(path) for path in bundled_models().values()]
    return ModelList(info for info in infos if family in (None, info.family))


def bundled_models() -> dict[str, Path]:
    """Return the folder of each bundled model by name, sorted; empty when nothing is bundled."""
    root = exports_folder()
    if root is None:
        return {}
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    return {name: root / name for name in names if re.fullmatch(NAME_PATTERN, name)}


def exports_folder() -> Path | None:
    """Return the folder of the bundled models: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent
    if (package / "exports").is_dir():
        return package / "exports"
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "exports").is_dir():
        return checkout / "exports"
    return None


def _info(folder: Path) -> ModelInfo:
    config = read_config(folder)
    if config.name != folder.name:
        raise ArtifactError(f"{folder}: config.json names the model {config.name!r}; the two must match")
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
