"""The folder that data sets are stored in."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Return ``data_dir`` if given, else ``$ZOO_DATA`` if set, else ``cellzoo/data`` in the user's cache."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if os.environ.get("ZOO_DATA"):
        return Path(os.environ["ZOO_DATA"]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cellzoo" / "data"
