"""Hooks of mkdocs: links from a page to files outside docs/ lead to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_DOCS = _ROOT / "docs"
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Return the page's text, in which links that leave docs/ are addresses in the repository."""
    folder = (_DOCS / page.file.src_uri).parent

    def address(link: re.Match[str]) -> str:
        target = (folder / link["path"]).resolve()
        if target.is_relative_to(_DOCS) and target.suffix != ".py" and target.is_file():
            return link[0]
        if not target.is_relative_to(_ROOT) or not target.exists():
            return link[0]  # mkdocs reports it
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.repo_url.rstrip('/')}/{kind}/main/{target.relative_to(_ROOT)}{link['anchor'] or ''}"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(address, part) for part in parts)
