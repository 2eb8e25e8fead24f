"""Resolves a name or path to a folder, a bundled model or a model on the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from sdk.artifact import CONFIG_FILE, Artifact, ArtifactConfig, read_artifact, read_config
from sdk.catalog import bundled_models
from sdk.errors import LoadError
from sdk.hub.reference import NAMESPACE_VARIABLE, HubReference, parse_reference
from sdk.validation import describe


def open_artifact(
    name_or_path: str | os.PathLike[str],
    choose: Callable[[ArtifactConfig], Collection[str]],
    revision: str | None = None,
) -> Artifact:
    """Resolve, download and verify a model as :func:`sdk.load` does, without opening it.

    ``choose`` returns the files to download and verify. Raises as :func:`sdk.load` does.
    """
    found = resolve_model(name_or_path, revision)
    if isinstance(found, Path):
        return read_artifact(found, choose(read_config(found)))
    from sdk.hub.download import fetch_artifact  # importing the Hub's client takes half a second

    return fetch_artifact(found, choose)


def find_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the folder that a name or path means; raises LoadError if that is none, ambiguous or on the Hub."""
    found = resolve_model(name_or_path)
    if isinstance(found, Path):
        return found
    text = os.fspath(name_or_path)
    problem = f"is a folder without {CONFIG_FILE}" if os.path.isdir(text) else "is not a folder here"
    raise LoadError(f"{text!r} {problem}; if it is a model on the Hub, run `zoo pull {found} --out FOLDER` first")


def resolve_model(name_or_path: str | os.PathLike[str], revision: str | None = None) -> Path | HubReference:
    """Return the folder or the model on the Hub that a name or path means, without contacting the Hub.

    Raises LoadError if it means neither or is ambiguous.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise LoadError(f"a model must be given by its name or folder, found {describe(name_or_path)}")
    text = os.fspath(name_or_path)
    reference = parse_reference(text, revision) if isinstance(name_or_path, str) else None
    if revision is not None:
        if reference is None:
            raise LoadError(
                f"only models on the Hub have revisions, and {text!r} names none; "
                f"write 'user/name', or set {NAMESPACE_VARIABLE} for plain names"
            )
        return reference
    if isinstance(name_or_path, str) and not {os.sep, os.altsep or os.sep, "/"} & set(text):
        return _resolve_name(text, reference)
    return _resolve_path(text, reference)


def _resolve_name(name: str, reference: HubReference | None) -> Path | HubReference:
    """Resolve a plain name: a bundled model, a folder here, or a model in the default namespace."""
    folder = Path(name)
    bundled = bundled_models().get(name)
    local = folder if (folder / CONFIG_FILE).is_file() else None
    if bundled is not None and local is not None and not bundled.samefile(local):
        raise LoadError(
            f"{name!r} is both a bundled model and a folder here; "
            f"write './{name}' for the folder or '{bundled}' for the bundled model"
        )
    if bundled is not None:
        return bundled
    if local is not None and reference is not None:
        raise _ambiguous(name, reference)
    found = local or reference
    if found is None:
        names = ", ".join(bundled_models()) or "none"
        hint = f" (the folder {folder} here has no {CONFIG_FILE})" if folder.is_dir() else ""
        raise LoadError(
            f"no model named {name!r}{hint}; bundled models: {names}. Train one with `zoo train {name}`, or give "
            "the path of a model's folder, or 'user/name' for a model on the Hub"
        )
    return found


def _resolve_path(path: str, reference: HubReference | None) -> Path | HubReference:
    """Resolve a path or ``user/name``; the path of a bundled model's folder always means that folder."""
    folder = Path(path)
    if reference is None:
        if not folder.is_dir():
            raise LoadError(f"no model at {path!r}: no such folder")
        return folder
    if not (folder / CONFIG_FILE).is_file():
        return reference
    bundled = bundled_models().get(folder.name)
    if bundled is None or not bundled.samefile(folder):
        raise _ambiguous(path, reference)
    return folder


def _ambiguous(text: str, reference: HubReference) -> LoadError:
    return LoadError(
        f"{text!r} is a folder here and may also be a model on the Hub; "
        f"write './{text}' for the folder or '{reference}' for the Hub"
    )
