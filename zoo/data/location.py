"""The folder that data sets are stored in."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(data_dir: str | Path | None = None, path: str | None = None) -> Path:
    """Return the first that is set: ``data_dir`` (``--data-dir``), ``path`` (``data.path`` of a recipe), ``$ZOO_DATA``.

    If none is, return ``cellzoo/data`` in the user's cache.
    """
    chosen = data_dir if data_dir is not None else path or os.environ.get("ZOO_DATA")
    if chosen is not None and str(chosen):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cellzoo" / "data"
