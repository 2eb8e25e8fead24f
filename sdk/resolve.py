"""Resolves a name or path to a folder or to a model on the Hub.

A plain name means, in this order: an artifact's folder of that name in the working directory, one of the user's own
models, a bundled model, a model in the namespace ``ZOO_HUB_NAMESPACE``. ``bundled:NAME`` means the bundled model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from sdk.artifact import CONFIG_FILE, Artifact, ArtifactConfig, read_artifact, read_config
from sdk.catalog import bundled_models, own_models
from sdk.errors import LoadError, ShadowedModelWarning, UnknownModelError, give_warning
from sdk.hub.reference import NAMESPACE_VARIABLE, HubReference, parse_reference
from sdk.validation import describe, hint

BUNDLED_PREFIX = "bundled:"
_warned: set[tuple[str, Path]] = set()
"""Names whose warning this process has given, each with the folder that it was about."""


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
    """Return the folder that a name or path means; raises LoadError if that is none or on the Hub."""
    found = resolve_model(name_or_path)
    if isinstance(found, Path):
        return found
    text = os.fspath(name_or_path)
    problem = f"is a folder without {CONFIG_FILE}" if os.path.isdir(text) else "is not a folder here"
    raise LoadError(f"{text!r} {problem}; if it is a model on the Hub, run `zoo pull {found} --out FOLDER` first")


def resolve_model(name_or_path: str | os.PathLike[str], revision: str | None = None) -> Path | HubReference:
    """Return the folder or the model on the Hub that a name or path means, without contacting the Hub.

    A name that means several models on this machine gives a ShadowedModelWarning, once per process. Raises LoadError
    if it means none.
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
    if isinstance(name_or_path, str) and text.startswith(BUNDLED_PREFIX):
        return _resolve_bundled(text.removeprefix(BUNDLED_PREFIX))
    if isinstance(name_or_path, str) and not {os.sep, os.altsep or os.sep, "/"} & set(text):
        return _resolve_name(text, reference)
    return _resolve_path(text, reference)


def local_models(name: str) -> list[tuple[Path, str]]:
    """Return each folder on this machine that a plain name may mean, with a spelling that means no other.

    The first is the one that the name means.
    """
    found = [(Path(name), f"./{name}")] if _holds_model(Path(name)) else []
    own, bundled = own_models().get(name), bundled_models().get(name)
    if own is not None and _holds_model(own):
        found.append((own, str(own)))
    if bundled is not None:
        found.append((bundled, f"{BUNDLED_PREFIX}{name}"))
    distinct: list[tuple[Path, str]] = []
    for folder, spelling in found:  # the working directory may be the folder of the user's or the bundled models
        if not any(folder.samefile(other) for other, _ in distinct):
            distinct.append((folder, spelling))
    return distinct


def shortest_spelling(folder: Path) -> str:
    """Return what to write for a model's folder: its name if the name means this folder, else the path."""
    meant = local_models(folder.name)
    return folder.name if meant and meant[0][0].samefile(folder) else str(folder)


def _resolve_bundled(name: str) -> Path:
    bundled = bundled_models()
    if name not in bundled:
        raise LoadError(f"no bundled model named {name!r}{hint(name, bundled)}; `zoo list` shows all models")
    return bundled[name]


def _resolve_name(name: str, reference: HubReference | None) -> Path | HubReference:
    """Resolve a plain name; warn if it means several models on this machine."""
    local = local_models(name)
    if local:
        folder, *others = local
        if others:
            _warn_of_shadowed(name, folder[0], [spelling for _, spelling in others])
        return folder[0]
    if reference is not None:
        return reference
    known = sorted({*own_models(), *bundled_models()})
    where = f" (the folder {name} here has no {CONFIG_FILE})" if os.path.isdir(name) else ""
    raise UnknownModelError(
        name,
        f"no model named {name!r}{where}{hint(name, known)}; `zoo list` shows all models. Train one with `zoo train`, "
        "or give the path of a model's folder, or 'user/name' for a model on the Hub",
    )


def _resolve_path(path: str, reference: HubReference | None) -> Path | HubReference:
    """Resolve a path or ``user/name``: a folder that holds a model is that model, even if the Hub has one, too."""
    folder = Path(path).expanduser()
    if reference is not None and not _holds_model(folder):
        if os.path.isdir(folder.parent) and not os.path.exists(folder) and "@" not in path:
            near = hint(folder.name, [entry.name for entry in folder.parent.iterdir() if _holds_model(entry)])
            raise LoadError(f"no model at {path!r}: no such folder{near}; write {path + '@main'!r} for the Hub")
        return reference
    if not os.path.isdir(folder):
        raise LoadError(
            f"no model at {path!r}: no such folder; a model on the Hub is 'user/name' or 'user/name@revision'"
        )
    return folder


def _holds_model(folder: Path) -> bool:
    return os.path.isfile(folder / CONFIG_FILE)


def _warn_of_shadowed(name: str, folder: Path, others: list[str]) -> None:
    if (name, folder) in _warned:
        return
    _warned.add((name, folder))
    spellings = " or ".join(repr(other) for other in others)
    message = f"{name!r} means the model in {os.path.abspath(folder)}; write {spellings} for the other one"
    give_warning(ShadowedModelWarning(message))
