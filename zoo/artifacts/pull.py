"""Download a model from the Hub into the cache or into a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sdk.artifact import CONFIG_FILE, Artifact
from sdk.backends import backend_file, choose_backend
from sdk.errors import LoadError
from sdk.hub.download import fetch_artifact
from sdk.resolve import resolve_model
from zoo.utils.files import replacing_folder


def pull_artifact(name: str, backend: str = "auto", out: Path | None = None) -> Artifact:
    """Download the files that a backend needs into the cache or, with ``out``, all files into that new folder.

    The folder is created atomically. Raises LoadError if ``name`` is not the name of a model on the Hub or if ``out``
    exists, and the errors of :func:`sdk.hub.download.fetch_artifact`.
    """
    reference = resolve_model(name)
    if isinstance(reference, Path):
        raise LoadError(f"{name!r} is a local model, in {reference}; give a model on the Hub as 'user/name'")
    if out is None:
        return fetch_artifact(reference, lambda config: [backend_file(choose_backend(config, backend))])
    if os.path.lexists(out):
        raise LoadError(f"{out} exists; give another folder")
    pulled = fetch_artifact(reference, lambda config: list(config.files))
    try:
        with replacing_folder(out) as folder:
            for path in (CONFIG_FILE, *pulled.verified):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(pulled.folder / path, folder / path)
    except OSError as error:
        raise LoadError(f"cannot write {out}: {error.strerror or error}") from error
    return pulled
