"""Lists cellzoo's models on the Hub, by the tag that every model card has."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from huggingface_hub import HfApi, ModelInfo, constants
from huggingface_hub.errors import OfflineModeIsEnabled

from sdk.errors import HubError
from sdk.hub.errors import hub_errors
from sdk.hub.reference import is_repo_id
from sdk.validation import describe

TAG = "cellzoo"
MOST = 1000
"""Most models of one listing."""


@dataclass(frozen=True)
class HubEntry:
    """A model as the Hub's search describes it; nothing of it has been downloaded or verified."""

    name: str
    """``user/name``, which :func:`sdk.load` takes."""
    tags: tuple[str, ...]
    downloads: int | None
    likes: int | None
    changed: str | None
    """Date of the last change, ``YYYY-MM-DD``."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "tags": list(self.tags)}


def search_hub(query: str | None = None, author: str | None = None, limit: int = MOST) -> list[HubEntry]:
    """Return up to ``limit`` models whose name contains ``query``, of one user or organization, most recent first.

    Raises HubError.
    """
    if author is not None and not (isinstance(author, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", author)):
        raise HubError(f"hub: found {describe(author)}, allowed the name of a user or an organization")
    with hub_errors(author or query or "the search"):
        if constants.HF_HUB_OFFLINE:
            raise OfflineModeIsEnabled
        found = HfApi().list_models(
            filter=TAG, author=author, search=query, sort="last_modified", limit=limit, full=True
        )
        try:
            return [_entry(info) for info in found]
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise HubError(
                f"{constants.ENDPOINT} answers a search with something else than a list of models"
            ) from error


def _entry(info: ModelInfo) -> HubEntry:
    """Return one model of an answer; raises TypeError and ValueError for what is none."""
    if not isinstance(info.id, str) or not is_repo_id(info.id):
        raise ValueError(f"no id of a model: {info.id!r}")
    return HubEntry(
        info.id,
        tuple(info.tags or ()),
        info.downloads,
        info.likes,
        info.last_modified.date().isoformat() if info.last_modified else None,
    )
