"""Model repos in memory: commits, refs and files, as the Hub of the tests stores them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

LFS_SUFFIXES = (".onnx", ".safetensors", ".png", ".parquet")


@dataclass(frozen=True)
class Stored:
    """A file of a commit."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """The object id in Git: of the content or, for a large file, of its LFS pointer."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        content = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        lfs = {"lfs": {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}} if self.lfs else {}
        return {"type": "file", "oid": self.oid, "size": len(self.content), "path": path, **lfs}


@dataclass
class Repo:
    """A model repo, whose commits are complete trees."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """The commit of each ref, such as ``refs/heads/main``, ``refs/tags/v1`` or ``refs/pr/1``."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Uploaded large files by sha256."""

    def __post_init__(self) -> None:
        self.commit("refs/heads/main", {".gitattributes": Stored(b"*.onnx filter=lfs\n", lfs=False)}, "initial commit")

    def commit(self, ref: str, files: dict[str, Stored], message: str) -> str:
        serial = f"{ref} {message} {len(self.commits)} {sorted((path, file.oid) for path, file in files.items())}"
        oid = hashlib.sha1(serial.encode()).hexdigest()
        self.commits[oid], self.messages[oid], self.refs[ref] = files, message, oid
        return oid

    def find(self, revision: str) -> str | None:
        """Return the commit of a branch, a tag, a full ref or a commit, or None."""
        if revision in self.commits:
            return revision
        refs = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((self.refs[ref] for ref in refs if ref in self.refs), None)

    @property
    def main(self) -> str:
        return self.refs["refs/heads/main"]

    @property
    def files(self) -> dict[str, bytes]:
        """The contents of main's files by path, without the ``.gitattributes`` that every repo begins with."""
        return {path: file.content for path, file in self.commits[self.main].items() if path != ".gitattributes"}

    def put(self, files: dict[str, bytes | None], message: str = "change") -> str:
        """Commit to main on the server: contents by path, or None to delete a file."""
        tree = dict(self.commits[self.main])
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                tree[path] = Stored(content, path.endswith(LFS_SUFFIXES))
        return self.commit("refs/heads/main", tree, message)
