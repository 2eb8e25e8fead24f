"""The model that a name, a path or a Hub id means."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from sdk.artifact import CONFIG_FILE, Artifact, ArtifactConfig, read_artifact, read_config
from sdk.catalog import bundled_models
from sdk.errors import LoadError
from sdk.hub.reference import NAMESPACE_VARIABLE, HubReference, parse_reference
from sdk.strict import describe


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
    from sdk.hub.download import fetch_artifact  # the Hub's client takes half a second to import

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
