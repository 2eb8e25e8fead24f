"""Which models there are, and which one a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.artifact import CONFIG_FILE, NAME_PATTERN, Artifact, ArtifactConfig, locate_file, read_artifact, read_config
from sdk.errors import ArtifactError, LoadError
from sdk.models import Model, backend_file, backends_of, choose_backend, open_model
from sdk.reference import NAMESPACE_VARIABLE, HubReference, parse_reference
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
    revision: str | None = None,
) -> Model:
    """Load a bundled model by name, any model by the path of its folder, or one on the Hub as ``user/name``.

    A plain name means a bundled model, else a folder of that name or a model of the namespace in
    ``ZOO_HUB_NAMESPACE``; what could mean two things is an error that says how to tell them apart. ``revision``,
    or ``@revision`` behind the name, is a branch, a tag or a commit on the Hub (default: main); ``origin`` of the
    model names the commit that was loaded. ``backend`` is "auto" or one of the model's own, and auto means onnx
    where the model has it. For the onnx backend, ``providers`` are any of "cpu", "cuda", "coreml" and "directml" (or
    onnxruntime's names) in the order of preference (default: cpu) and ``threads`` is how many compute one batch
    (default: one per core); for the torch backend, ``device`` (default: cpu). The hash of every file that is
    used is verified; of a model on the Hub no other file is downloaded.

    Raises LoadError when the model, backend or device is not there, its subclass HubError when the Hub does not give
    the model, ArtifactError when the model is damaged.
    """
    artifact = open_artifact(name_or_path, lambda config: [backend_file(choose_backend(config, backend))], revision)
    chosen = choose_backend(artifact.config, backend)
    model = open_model(artifact, chosen, device=device, providers=providers, threads=threads)
    model.origin = artifact.origin
    return model


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


def open_artifact(
    name_or_path: str | os.PathLike[str],
    choose: Callable[[ArtifactConfig], Collection[str]],
    revision: str | None = None,
) -> Artifact:
    """The model that :func:`load` would load, with the files that ``choose`` names verified (and downloaded).

    Raises as :func:`load` does.
    """
    found = resolve_model(name_or_path, revision)
    if isinstance(found, Path):
        return read_artifact(found, choose(read_config(found)))
    from sdk.hub import fetch_artifact  # the Hub's client takes half a second to import

    return fetch_artifact(found, choose)


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """The folder that a name or path means; raises LoadError when it means none, two, or a model on the Hub."""
    found = resolve_model(name_or_path)
    if isinstance(found, Path):
        return found
    text = os.fspath(name_or_path)
    problem = f"is a folder without {CONFIG_FILE}, so no model" if os.path.isdir(text) else "is no folder here"
    raise LoadError(
        f"{text!r} {problem}; if it is a model on the Hub, get its folder with `zoo pull {found} --out FOLDER`"
    )


def resolve_model(name_or_path: str | os.PathLike[str], revision: str | None = None) -> Path | HubReference:
    """The folder or the model on the Hub that a name or path means, without asking the Hub.

    Raises LoadError when it means neither, or could mean two things.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise LoadError(f"a model is given by its name or folder, found {describe(name_or_path)}")
    text = os.fspath(name_or_path)
    reference = parse_reference(text, revision) if isinstance(name_or_path, str) else None
    if revision is not None:
        if reference is None:
            raise LoadError(
                f"a revision is of a model on the Hub, and {text!r} names none; "
                f"say 'user/name', or set {NAMESPACE_VARIABLE} for plain names"
            )
        return reference
    if isinstance(name_or_path, str) and not {os.sep, os.altsep or os.sep, "/"} & set(text):
        return _resolve_name(text, reference)
    return _resolve_path(text, reference)


def _resolve_name(name: str, reference: HubReference | None) -> Path | HubReference:
    """A plain name: bundled, a folder here, or in the default namespace."""
    folder = Path(name)
    bundled = bundled_models().get(name)
    local = folder if (folder / CONFIG_FILE).is_file() else None
    if bundled is not None and local is not None and not bundled.samefile(local):
        raise LoadError(
            f"{name!r} is both a bundled model and a folder here; "
            f"say './{name}' for the folder or '{bundled}' for the bundled model"
        )
    if bundled is not None:
        return bundled
    if local is not None and reference is not None:
        raise _ambiguous(name, reference)
    found = local or reference
    if found is None:
        names = ", ".join(bundled_models()) or "none"
        seen = f" (the folder {folder} here has no {CONFIG_FILE})" if folder.is_dir() else ""
        raise LoadError(
            f"no model named {name!r}{seen}; bundled models: {names}. Train one with `zoo train {name}`, "
            f"give the path of a model's folder, or 'user/name' for a model on the Hub"
        )
    return found


def _resolve_path(path: str, reference: HubReference | None) -> Path | HubReference:
    """A path, or ``user/name``; the folder of a bundled model is never taken for the latter."""
    folder = Path(path)
    if reference is None:
        if not folder.is_dir():
            raise LoadError(f"no model at {path!r}: there is no such folder")
        return folder
    if not (folder / CONFIG_FILE).is_file():
        return reference
    bundled = bundled_models().get(folder.name)
    if bundled is None or not bundled.samefile(folder):
        raise _ambiguous(path, reference)
    return folder


def _ambiguous(text: str, reference: HubReference) -> LoadError:
    return LoadError(
        f"{text!r} is a folder here and could be a model on the Hub; "
        f"say './{text}' for the folder or '{reference}' for the Hub"
    )


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
