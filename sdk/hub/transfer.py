"""Transfers one file of a repo into the cache of the Hugging Face libraries, trusting nothing that the server says.

The client's own download takes the names of the cache's files from the server's headers and writes as much as the
server sends. Here, headers are checked before they become paths, a download ends at the announced size, and content
that does not match its hash is fetched once more, then refused. The layout of the cache is the client's:
``blobs/ETAG``, ``snapshots/COMMIT/PATH`` as links to them, ``refs/REVISION``.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from sdk.artifact import CONFIG_FILE
from sdk.errors import ArtifactError, HubError
from sdk.hub.reference import HubReference
from sdk.validation import describe

COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}")
_SHA1, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_ATTEMPTS = 2


@dataclass(frozen=True)
class RemoteFile:
    """A file on the Hub, as checked headers describe it."""

    repo_id: str
    path: str
    commit: str
    etag: str
    """The hash of the content: Git's for small files, sha256 for large ones."""
    size: int
    url: str

    @property
    def cached(self) -> Path:
        """The file's place in the cache."""
        return _storage(self.repo_id) / "snapshots" / self.commit / PurePosixPath(self.path)

    @property
    def blob(self) -> Path:
        return _storage(self.repo_id) / "blobs" / self.etag


def ask(reference: HubReference, path: str) -> RemoteFile:
    """Return what the Hub says about a file; raises HubError for headers that no Hub sends, and ArtifactError."""
    parts = reference.revision.replace("\\", "/").split("/")
    if any(part in ("", ".", "..") for part in parts) or not reference.revision.isprintable():
        raise HubError(f"revision must name a branch, a tag or a commit, found {describe(reference.revision)}")
    try:
        metadata = get_hf_file_metadata(hf_hub_url(reference.repo_id, path, revision=reference.revision))
    except EntryNotFoundError as error:
        reason = "no config.json in it, so it is not a cellzoo model" if path == CONFIG_FILE else f"{path} is missing"
        raise ArtifactError(f"{reference}: {reason}") from error
    if metadata.commit_hash is None or metadata.size is None or metadata.etag is None:
        raise HubError(f"{constants.ENDPOINT} does not answer like a Hub; check HF_ENDPOINT")
    for name, value, pattern in (("commit", metadata.commit_hash, COMMIT), ("ETag", metadata.etag, _ETAG)):
        if not pattern.fullmatch(value):
            raise HubError(
                f"{constants.ENDPOINT} does not answer like a Hub: the {name} of {path} is {describe(value)}; "
                "check HF_ENDPOINT"
            )
    if COMMIT.fullmatch(reference.revision) and metadata.commit_hash != reference.revision:
        raise HubError(f"{constants.ENDPOINT} answers with commit {metadata.commit_hash} for {reference}")
    return RemoteFile(reference.repo_id, path, metadata.commit_hash, metadata.etag, metadata.size, metadata.location)


def fetch(file: RemoteFile, revision: str) -> Path:
    """Return the file's path in the cache, downloaded unless it is there intact, and remember the revision's commit.

    Raises ArtifactError for content that does not match the hash or exceeds the size that the Hub announced.
    """
    if not (file.cached.is_file() and is_intact(file.cached)):
        remove(file.cached)
        if not (file.blob.is_file() and _matches(file.blob, file.etag)):
            _download(file)
        _link(file.blob, file.cached)
    if revision != file.commit:
        _write(_storage(file.repo_id) / "refs" / PurePosixPath(revision), lambda path: _put(path, file.commit))
    return file.cached


def is_intact(cached: Path) -> bool:
    """Return False if a file in the cache does not have the content that the name of its blob announces.

    Without links, as on some Windows systems, the cache does not record the name, and the answer is True.
    """
    return not is_link_of_cache(cached) or _matches(cached, cached.resolve().name)


def is_link_of_cache(cached: Path) -> bool:
    """Return True if a file in the cache is a link to its blob, whose name is the content's hash."""
    return cached.resolve().parent.name == "blobs"


def remove(cached: Path) -> None:
    """Remove a file from the cache, with its blob."""
    blob, cache = cached.resolve(), Path(constants.HF_HUB_CACHE).resolve()
    if blob.is_relative_to(cache):
        blob.unlink(missing_ok=True)
    cached.unlink(missing_ok=True)


def _download(file: RemoteFile) -> None:
    for attempt in range(_ATTEMPTS):
        temporary = file.blob.with_name(f"{file.etag}.{uuid.uuid4().hex[:12]}.incomplete")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _Bounded(temporary, file) as target:
                http_get(file.url, target, headers=_headers(file.url), expected_size=file.size)
            if _matches(temporary, file.etag):
                os.replace(temporary, file.blob)
                return
            found = _digests(temporary)[-1] if _SHA256.fullmatch(file.etag) else _digests(temporary)[0]
        finally:
            temporary.unlink(missing_ok=True)
        if attempt + 1 == _ATTEMPTS:
            kind = "sha256" if _SHA256.fullmatch(file.etag) else "Git hash"
            raise ArtifactError(
                f"{file.repo_id}@{file.commit}: {file.path} was altered or damaged: {kind} {found}, expected "
                f"{file.etag}, in {_ATTEMPTS} downloads; load the model again to download it"
            )


class _Bounded(io.BufferedWriter):
    """A new file that refuses to grow beyond the announced size."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        super().__init__(io.FileIO(path, "x"))
        self._file = file

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > self._file.size:
            raise ArtifactError(
                f"{self._file.repo_id}@{self._file.commit}: {self._file.path} was altered: the server sends more than "
                f"the {self._file.size} bytes that it announced"
            )
        return super().write(content)


def _headers(url: str) -> dict[str, str]:
    """Return the request's headers; the token goes to the Hub alone, not to the server that it refers to."""
    headers: dict[str, str] = build_hf_headers()
    if urlparse(url).netloc != urlparse(constants.ENDPOINT).netloc:
        headers.pop("authorization", None)
    return headers


def _matches(path: Path, etag: str) -> bool:
    """Return False if ``etag`` is a hash, and not that of the file's content."""
    if not (_SHA1.fullmatch(etag) or _SHA256.fullmatch(etag)):
        return True
    return etag in _digests(path)


def _digests(path: Path) -> tuple[str, str, str]:
    """Return the hashes by which servers know a file's content: Git's, sha1 and sha256."""
    digests = hashlib.sha1(b"blob %d\0" % path.stat().st_size), hashlib.sha1(), hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            for digest in digests:
                digest.update(piece)
    git, plain, strong = (digest.hexdigest() for digest in digests)
    return git, plain, strong


def _storage(repo_id: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo_id, repo_type="model")


def _link(blob: Path, cached: Path) -> None:
    """Put a link to a blob at its place in the snapshot, or a copy where links are not possible."""

    def create(path: Path) -> None:
        try:
            path.symlink_to(os.path.relpath(blob, cached.parent))
        except OSError:
            shutil.copyfile(blob, path)

    _write(cached, create)


def _put(path: Path, text: str) -> None:
    path.write_text(text)


def _write(path: Path, create: Callable[[Path], None]) -> None:
    """Create a file or link and move it to its place at once, over an older one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name[:100]}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        create(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
