"""Downloads models from the Hub into the cache that the Hugging Face libraries share, and verifies them there.

A repo is untrusted data: only config.json and files that it lists are downloaded, each only if it has the listed size.
Hashes are checked, and no code from a repo runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache

from sdk.artifact import CONFIG_FILE, CONFIG_LIMIT, Artifact, ArtifactConfig, hash_file, read_artifact, read_config
from sdk.errors import ArtifactError, HubError, HubUnreachableError, OfflineWarning, give_warning
from sdk.hub.errors import hub_errors
from sdk.hub.reference import HubReference
from sdk.hub.transfer import COMMIT, ask, fetch, is_intact, is_link_of_cache, remove

Choose = Callable[[ArtifactConfig], Collection[str]]
"""Returns the files of an artifact that the caller needs."""


def fetch_artifact(reference: HubReference, choose: Choose) -> Artifact:
    """Download config.json and the chosen files, verify them, and name their commit in ``origin``.

    Cached files are not downloaded again. With HF_HUB_OFFLINE set, only the cache is used; a full commit that is in the
    cache needs no network either. If the Hub cannot be reached, the cached commit that the revision last pointed to is
    used, with a warning. Raises HubError, and ArtifactError for a repo that is not a cellzoo model and for files that
    were altered, cut short or do not match config.json.
    """
    with hub_errors(reference.repo_id, reference.revision):
        folder = _fetch_config(reference)
        pinned = replace(reference, revision=folder.name)
        try:
            config = read_config(folder, within=_cache())
            wanted = choose(config)
            for path in wanted:
                if path in config.files and not os.path.exists(folder / path):
                    _download(pinned, path, config.files[path].size)
            return replace(read_artifact(folder, wanted, within=_cache()), origin=str(pinned))
        except ArtifactError as error:
            removed = ", ".join(_remove_damaged(folder))
            hint = f"; {removed} was removed from the cache; load the model again to download it" if removed else ""
            raise ArtifactError(str(error).replace(f"{folder}:", f"{pinned}:") + hint) from error


def fetch_config(reference: HubReference) -> ArtifactConfig:
    """Download the config of a model on the Hub alone; raises as :func:`fetch_artifact` does."""
    return fetch_artifact(reference, lambda config: ()).config


def _cache() -> Path:
    return Path(constants.HF_HUB_CACHE)


def _fetch_config(reference: HubReference) -> Path:
    """Return the cache's folder for the commit that the revision points to, with config.json downloaded."""
    cached = _cached_folder(reference)
    if cached is not None and not is_intact(cached / CONFIG_FILE):
        if constants.HF_HUB_OFFLINE:
            raise HubError(
                f"{CONFIG_FILE} of {reference} is damaged in the cache {_cache()}, and HF_HUB_OFFLINE is set; unset it"
            )
        remove(cached / CONFIG_FILE)
        cached = None
    if cached is not None and (constants.HF_HUB_OFFLINE or COMMIT.fullmatch(reference.revision)):
        return cached
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{reference} is not in the cache {_cache()}, and HF_HUB_OFFLINE is set; unset it")
    try:
        with hub_errors(reference.repo_id, reference.revision):
            file = ask(reference, CONFIG_FILE)
            if file.size > CONFIG_LIMIT:
                raise ArtifactError(
                    f"{reference}: {CONFIG_FILE} has {file.size} bytes, more than the {CONFIG_LIMIT} allowed"
                )
    except HubUnreachableError as error:
        if cached is None:
            raise
        give_warning(OfflineWarning(f"{error}; using the cached commit {cached.name} of {reference}"))
        return cached
    return fetch(file, reference.revision).parent


def _cached_folder(reference: HubReference) -> Path | None:
    found = try_to_load_from_cache(reference.repo_id, CONFIG_FILE, revision=reference.revision)
    return Path(found).parent if isinstance(found, str) else None


def _download(pinned: HubReference, path: str, size: int) -> None:
    """Download one file of a commit into the cache; raises ArtifactError unless it has the size in config.json."""
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{path} of {pinned} is not in the cache {_cache()}, and HF_HUB_OFFLINE is set; unset it")
    file = ask(pinned, path)
    if file.size != size:
        raise ArtifactError(f"{pinned}: {path} was altered or cut short: {file.size} bytes on the Hub, expected {size}")
    fetch(file, pinned.revision)


def _remove_damaged(folder: Path) -> list[str]:
    """Remove the cached files of a commit whose hash is not the one in its config.json, and return their paths."""
    try:
        config = read_config(folder, within=_cache())
    except ArtifactError:  # without a config, no hashes to compare with
        if is_link_of_cache(folder / CONFIG_FILE):  # its content is what the Hub has
            return []
        remove(folder / CONFIG_FILE)
        return [CONFIG_FILE]
    removed = []
    for path, record in config.files.items():
        blob = (folder / path).resolve()
        if blob.is_relative_to(_cache().resolve()) and blob.is_file() and hash_file(blob) != record.sha256:
            remove(folder / path)
            removed.append(path)
    return removed
