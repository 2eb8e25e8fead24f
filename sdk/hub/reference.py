"""References to models on the Hub: ``user/name`` or ``user/name@revision``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sdk.errors import LoadError
from sdk.validation import describe

NAMESPACE_VARIABLE = "ZOO_HUB_NAMESPACE"
"""The environment variable with the user or organization that plain names belong to."""
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_REFERENCE = re.compile(rf"(?:(?P<namespace>{_WORD})/)?(?P<name>{_WORD})(?:@(?P<revision>\S+))?")


@dataclass(frozen=True)
class HubReference:
    """A model on the Hub, at a branch, a tag or a commit."""

    repo_id: str
    """``user/name``."""
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}"


def is_repo_id(text: str) -> bool:
    """Return True for ``user/name``."""
    return re.fullmatch(f"{_WORD}/{_WORD}", text) is not None


def parse_reference(text: str, revision: str | None = None) -> HubReference | None:
    """Read ``user/name[@revision]``, or ``name[@revision]`` in the namespace of ``ZOO_HUB_NAMESPACE``.

    Return None if the text has another form, or is a plain name and no default namespace is set. Raises LoadError if
    a revision is given twice or is not a string, and if the default namespace is not a valid name.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    namespace = match["namespace"] or _default_namespace()
    if namespace is None:
        return None
    if revision is not None and (not isinstance(revision, str) or not re.fullmatch(r"\S+", revision)):
        raise LoadError(f"revision must name a branch, a tag or a commit, found {describe(revision)}")
    if revision is not None and match["revision"]:
        raise LoadError(f"{text!r} names a revision already; leave out revision={revision!r}")
    return HubReference(f"{namespace}/{match['name']}", revision or match["revision"] or "main")


def _default_namespace() -> str | None:
    namespace = os.environ.get(NAMESPACE_VARIABLE)
    if not namespace:
        return None
    if not re.fullmatch(_WORD, namespace):
        raise LoadError(f"{NAMESPACE_VARIABLE} must be a user or an organization on the Hub, found {namespace!r}")
    return namespace
