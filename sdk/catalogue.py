"""Which models there are, and which one a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.artifact import CONFIG_FILE, NAME_PATTERN, ArtifactConfig, locate_file, read_artifact, read_config
from sdk.errors import ArtifactError, LoadError
from sdk.models import Model, backend_file, backends_of, choose_backend, open_model
from sdk.strict import describe

if TYPE_CHECKING:
    import torch


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


def load(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str | torch.device | None = None,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
) -> Model:
    """Load a bundled model by name, or any model by the path of its folder.

    A plain name means a bundled model or a folder of that name; when both are there it is an error that says
    how to tell them apart. ``backend`` is "auto" or one of the model's own, and auto means onnx where the
    model has it. For the onnx backend, ``providers`` are any of "cpu", "cuda", "coreml" and "directml" (or
    onnxruntime's names) in the order of preference (default: cpu) and ``threads`` is how many compute one batch
    (default: one per core); for the torch backend, ``device`` (default: cpu). The hash of every file that is
    used is verified.

    Raises LoadError when the model, backend or device is not there, ArtifactError when the model is damaged.
    """
    folder = find_model(name_or_path)
    config = read_config(folder)
    chosen = choose_backend(config, backend)
    artifact = read_artifact(folder, files=[backend_file(chosen)])
    return open_model(artifact, chosen, device=device, providers=providers, threads=threads)


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


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The folder that a name or path means; raises LoadError when it means none, or two."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise LoadError(f"a model is given by its name or folder, found {describe(name_or_path)}")
    text = os.fspath(name_or_path)
    folder = Path(text)
    separators = {os.sep, os.altsep or os.sep, "/"}
    if not isinstance(name_or_path, str) or any(separator in text for separator in separators):
        if not folder.is_dir():
            raise LoadError(f"no model at {text!r}: there is no such folder")
        return folder
    bundled = bundled_models().get(text)
    local = folder if (folder / CONFIG_FILE).is_file() else None
    if bundled is not None and local is not None and not bundled.samefile(local):
        raise LoadError(
            f"{text!r} is both a bundled model and a folder here; "
            f"say './{text}' for the folder or '{bundled}' for the bundled model"
        )
    found = bundled or local
    if found is None:
        names = ", ".join(bundled_models()) or "none"
        raise LoadError(
            f"no model named {text!r}; bundled models: {names}. Train one with `zoo train {text}`, "
            "or give the path of a model's folder"
        )
    return found


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
